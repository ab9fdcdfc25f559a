//! The committed example configuration is the one the definitions write.

use lethe::config::Config;

const COMMITTED: &str = include_str!("../../config.example.toml");

#[test]
fn the_committed_example_is_current() {
    assert!(COMMITTED == Config::example(), "run `lethe config example > config.example.toml`");
}

#[test]
fn the_committed_example_is_the_default() {
    let parsed = Config::from_parts(COMMITTED, []).expect("valid");
    assert!(parsed == Config::default());
}
