//! A list of seats, each of one who waits and may go away.
//!
//! The one rule: **a list is bounded by the most that ever waited at once**, however many come and go.

/// Adds a seat to a list in which callers that went away have left their seats.
///
/// Left seats are cleared when the list is full, and the list grows only where more than half of the seats are
/// still taken. So the list stays within four times the most that ever waited at once, and a caller looks at
/// a few seats on average.
pub(crate) fn push_seat<S>(seats: &mut Vec<S>, seat: S, is_left: impl Fn(&S) -> bool) {
    if seats.len() == seats.capacity() {
        seats.retain(|seat| !is_left(seat));
        if seats.len() > seats.capacity() / 2 {
            seats.reserve(seats.capacity());
        }
    }
    seats.push(seat);
}

#[cfg(test)]
mod tests {
    use super::push_seat;

    #[test]
    fn p11_a_full_list_is_not_searched_for_every_newcomer() {
        let mut seats = Vec::with_capacity(1024);
        let searched = std::cell::Cell::new(0);
        // 1,023 who stay, and one place for all who come and go.
        for _ in 0..1023 {
            push_seat(&mut seats, true, |_| false);
        }
        for _ in 0..100_000 {
            push_seat(&mut seats, false, |stays| {
                searched.set(searched.get() + 1);
                !stays
            });
        }
        assert!(searched.get() <= 400_000, "{} looks", searched.get());
        assert!(seats.capacity() <= 4 * 1024, "{} seats", seats.capacity());
    }
}
