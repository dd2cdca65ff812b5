//! One Dynamo node: wires the machine to storage, transport, HTTP and the clock.
