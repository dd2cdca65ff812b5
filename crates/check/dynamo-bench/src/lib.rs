//! Open- and closed-loop load with honest percentiles.
