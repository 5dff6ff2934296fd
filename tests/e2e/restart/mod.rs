//! Restarts: nothing is refused, what moves moves without a gap, and a new process that is no good changes nothing.

mod goodbye;
