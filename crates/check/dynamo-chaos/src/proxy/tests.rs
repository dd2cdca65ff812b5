//! Sockets in the place of nodes.

use std::time::Duration;

use super::*;

const A: HostIndex = HostIndex(0);
const B: HostIndex = HostIndex(1);

/// Two sockets in the place of nodes, and the proxy between them.
struct Pair {
    proxy: Proxy,
    a: UdpSocket,
    b: UdpSocket,
}

fn host(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, number))
}

async fn pair() -> Pair {
    let proxy = Proxy::start(vec![host(1), host(2)], 7).await.unwrap();
    let a = UdpSocket::bind((host(1), 0)).await.unwrap();
    let b = UdpSocket::bind((host(2), 0)).await.unwrap();
    proxy.set_address(A, a.local_addr().unwrap());
    proxy.set_address(B, b.local_addr().unwrap());
    Pair { proxy, a, b }
}

/// Far beyond what anything here takes: a test that waits so long hangs.
const DEADLINE: Duration = Duration::from_secs(60);

async fn receive(socket: &UdpSocket) -> (u8, SocketAddr) {
    let mut byte = [0];
    let received = tokio::time::timeout(DEADLINE, socket.recv_from(&mut byte)).await;
    let (_, source) = received.expect("something arrives").unwrap();
    (byte[0], source)
}

/// Waits until a link has seen so many packets.
async fn arrived(proxy: &Proxy, from: HostIndex, to: HostIndex, count: u64) {
    let arrive = async {
        while proxy.counters_of(from, to).arrived() < count {
            crate::clock::pause().await;
        }
    };
    tokio::time::timeout(DEADLINE, arrive).await.expect("the packets reach the proxy");
}

#[tokio::test]
async fn a_packet_reaches_its_node_and_the_answer_comes_from_the_front() {
    let Pair { proxy, a, b } = pair().await;
    a.send_to(&[1], proxy.front(B)).await.unwrap();
    let (first, a_seen_by_b) = receive(&b).await;
    b.send_to(&[2], a_seen_by_b).await.unwrap();
    let (second, answered_from) = receive(&a).await;
    assert_eq!((first, second), (1, 2));
    assert_eq!(answered_from, proxy.front(B));
    // The sender keeps its face: a connection would break if it changed.
    a.send_to(&[3], proxy.front(B)).await.unwrap();
    assert_eq!(receive(&b).await, (3, a_seen_by_b));
    assert_eq!(proxy.counters_of(A, B).passed, 2);
    assert_eq!(proxy.counters_of(B, A).passed, 1);
    assert_eq!(proxy.failure(), None);
}

#[tokio::test]
async fn a_link_loses_what_its_rule_says_and_counts_it() {
    let Pair { proxy, a, b } = pair().await;
    proxy.set_rule(A, B, Rule { loss_per_mille: 200, ..Rule::CLEAR });
    let mut received = 0;
    let mut byte = [0];
    for sent in 1..=500 {
        a.send_to(&[1], proxy.front(B)).await.unwrap();
        let before = proxy.counters_of(A, B).passed;
        while proxy.counters_of(A, B).arrived() < sent {
            tokio::task::yield_now().await;
        }
        // What passed is in the receiver's socket, since it is on this machine.
        if proxy.counters_of(A, B).passed > before {
            received += u64::from(receive(&b).await.0);
        }
    }
    let LinkCounters { passed, lost, .. } = proxy.counters_of(A, B);
    assert_eq!(passed + lost, 500);
    // Five standard deviations around a hundred; the seed decides, so it is always the same number.
    assert!((55..=145).contains(&lost), "{lost}");
    assert_eq!(received, passed);
    assert!(b.try_recv_from(&mut byte).is_err(), "nothing came twice");
}

#[tokio::test]
async fn a_cut_stops_one_direction_until_it_is_healed() {
    let Pair { proxy, a, b } = pair().await;
    a.send_to(&[1], proxy.front(B)).await.unwrap();
    let (_, a_seen_by_b) = receive(&b).await;

    proxy.set_rule(A, B, Rule::CUT);
    a.send_to(&[2], proxy.front(B)).await.unwrap();
    arrived(&proxy, A, B, 2).await;
    assert_eq!(proxy.counters_of(A, B).cut, 1);
    // The other direction works, along the connection that A dialled and along one that B dials.
    b.send_to(&[3], a_seen_by_b).await.unwrap();
    assert_eq!(receive(&a).await.0, 3);
    b.send_to(&[4], proxy.front(A)).await.unwrap();
    let (byte, b_seen_by_a) = receive(&a).await;
    assert_eq!(byte, 4);
    // What A answers on B's connection goes from A to B too.
    a.send_to(&[5], b_seen_by_a).await.unwrap();
    arrived(&proxy, A, B, 3).await;
    assert_eq!(proxy.counters_of(A, B).cut, 2);

    proxy.heal();
    a.send_to(&[6], proxy.front(B)).await.unwrap();
    assert_eq!(receive(&b).await.0, 6, "what was cut off is gone");
}

#[tokio::test]
async fn packets_overtake_each_other_and_none_is_missing() {
    let Pair { proxy, a, b } = pair().await;
    proxy.set_rule(A, B, Rule { reorder_per_mille: 300, ..Rule::CLEAR });
    for number in 0..50 {
        a.send_to(&[number], proxy.front(B)).await.unwrap();
    }
    let mut order = Vec::new();
    for _ in 0..50 {
        order.push(receive(&b).await.0);
    }
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).collect::<Vec<u8>>());
    assert_ne!(order, sorted);
    assert!(proxy.counters_of(A, B).reordered > 0);
}

#[tokio::test]
async fn doubled_packets_arrive_twice() {
    let Pair { proxy, a, b } = pair().await;
    proxy.set_rule(A, B, Rule { duplicate_per_mille: 1000, ..Rule::CLEAR });
    a.send_to(&[9], proxy.front(B)).await.unwrap();
    assert_eq!((receive(&b).await.0, receive(&b).await.0), (9, 9));
}

#[tokio::test]
async fn a_node_is_found_again_on_its_new_port_and_known_by_its_address() {
    let Pair { proxy, a, b } = pair().await;
    drop(b);
    let b = UdpSocket::bind((host(2), 0)).await.unwrap();
    proxy.set_address(B, b.local_addr().unwrap());
    a.send_to(&[1], proxy.front(B)).await.unwrap();
    assert_eq!(receive(&b).await.0, 1);
    b.send_to(&[2], proxy.front(A)).await.unwrap();
    assert_eq!(receive(&a).await.0, 2);
    assert_eq!(proxy.counters_of(B, A).passed, 1);
}

#[tokio::test]
async fn whoever_is_no_node_passes_every_rule() {
    let Pair { proxy, b, .. } = pair().await;
    proxy.set_rule(A, B, Rule::CUT);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    client.send_to(&[1], proxy.front(B)).await.unwrap();
    let (_, client_seen_by_b) = receive(&b).await;
    b.send_to(&[2], client_seen_by_b).await.unwrap();
    assert_eq!(receive(&client).await, (2, proxy.front(B)));
    assert_eq!(proxy.counters().arrived(), 0);
}
