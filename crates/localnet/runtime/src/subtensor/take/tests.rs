use sp_runtime::PerU16;

use crate::runtime::Runtime;
use crate::subtensor::{Call, Delegates, Event, MinDelegateTake};
use crate::testing::{Subtensor, at_first_block, jump_to, key, last_event, outcome, send};

fn take(parts: u16) -> PerU16 {
    PerU16::from_parts(parts)
}

fn raise(coldkey: u32, parts: u16) -> String {
    outcome(send(&key(coldkey), Call::increase_take { hotkey: key(2), take: take(parts) }))
}

fn lower(coldkey: u32, parts: u16) -> String {
    outcome(send(&key(coldkey), Call::decrease_take { hotkey: key(2), take: take(parts) }))
}

#[test]
fn only_the_owner_of_a_hotkey_changes_its_take() {
    at_first_block(|| {
        assert_eq!(
            (raise(1, 5), lower(1, 5)),
            ("HotKeyAccountNotExists".into(), "HotKeyAccountNotExists".into())
        );
        Subtensor::own_hotkey(&key(1), &key(2)).unwrap();
        assert_eq!(
            (raise(3, 5), lower(3, 5)),
            ("NonAssociatedColdKey".into(), "NonAssociatedColdKey".into())
        );
    });
}

#[test]
fn take_increases_are_rate_limited_and_decreases_are_not() {
    at_first_block(|| {
        jump_to(10);
        Subtensor::own_hotkey(&key(1), &key(2)).unwrap();
        MinDelegateTake::<Runtime>::put(take(100));
        assert_eq!(raise(1, 11_797), "DelegateTakeTooHigh");
        assert_eq!(lower(1, 99), "DelegateTakeTooLow");
        assert_eq!(lower(1, 1_000), "ok");
        assert_eq!(last_event(), Event::TakeDecreased(key(1), key(2), take(1_000)));
        assert_eq!(lower(1, 1_000), "DelegateTakeTooLow", "not lower");
        assert_eq!(raise(1, 1_000), "DelegateTakeTooLow", "not higher");
        assert_eq!(
            raise(1, 1_001),
            "DelegateTxRateLimitExceeded",
            "the limit counts from the last change"
        );
        jump_to(10 + 216_000);
        assert_eq!(raise(1, 1_001), "ok");
        assert_eq!(last_event(), Event::TakeIncreased(key(1), key(2), take(1_001)));
        jump_to(10 + 216_000 + 215_999);
        assert_eq!(raise(1, 11_796), "DelegateTxRateLimitExceeded");
        assert_eq!(lower(1, 100), "ok");
        jump_to(10 + 3 * 216_000);
        assert_eq!(raise(1, 11_796), "ok");
        assert_eq!(Delegates::<Runtime>::get(key(2)), take(11_796));
    });
}
