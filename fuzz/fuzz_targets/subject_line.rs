//! Any text as a subject line: what is read can be written, and is then read as
//! the same name, in each order and each mode.
#![no_main]

use libfuzzer_sys::fuzz_target;
use respgate::identity::{Name, Order, SubjectLine};

fuzz_target!(|text: &str| {
    let Ok(line) = text.parse::<SubjectLine>() else { return };
    let name = line.name().clone();
    let again: SubjectLine = name.to_string().parse().expect("a name is read from its own text");
    assert_eq!(again.name(), &name);
    assert_eq!(Name::from_der(&name.to_der()).as_ref(), Ok(&name));
    assert!(line.matches(&name) && line.compare(&name).is_ok());
    for partial in [false, true] {
        let line = line.clone().with_ignore_case(true).with_partial(partial);
        assert!(line.matches(&name));
    }
    let there = line.clone().with_order(Order::Certificate);
    assert_eq!(there.with_order(Order::Rfc4514).name(), &name);
});
