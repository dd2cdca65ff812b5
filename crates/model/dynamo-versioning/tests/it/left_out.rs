use crate::model::first_failure;
use crate::model::left_out::LeftOut;

#[test]
fn hunt() {
    let only = std::env::var("ONLY").unwrap_or_default();
    for rule in LeftOut::ALL {
        let name = format!("{rule:?}");
        if !only.is_empty() && name != only {
            continue;
        }
        for laws in [true, false] {
            match first_failure(0..20_000, Some(*rule), laws, 2) {
                None => println!("== {laws} {rule:?} NOT FOUND"),
                Some(f) if only.is_empty() => println!(
                    "== {laws} {rule:?} in {}: {}",
                    f.seed,
                    f.violation.chars().take(110).collect::<String>()
                ),
                Some(f) => println!("== {}", f.explained(Some(*rule), laws)),
            }
        }
    }
}
