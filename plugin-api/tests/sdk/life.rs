//! An instance from create to drop, hand-over, and panics on the way.

use crate::host::{Failure, Instance};
use crate::plugin::use_handles_left_behind;
use crate::table::table;
use hotcall_plugin::{Fault, Value, abi};

fn config<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Struct(members.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

fn panicking_in(place: &str) -> Instance {
    Instance::create(config([("panic_in", place.into())])).map_err(|(failure, _)| failure).unwrap()
}

fn panicked(place: &str) -> Failure {
    Failure { status: abi::PANIC, code: 0, message: format!("wanted in {place}") }
}

fn line(level: u32, text: &str) -> (u32, String) {
    (level, text.to_owned())
}

#[test]
fn an_instance_is_created_once_used_and_dropped_once() {
    let instance =
        Instance::create(config([("start", 40.into())])).map_err(|(failure, _)| failure).unwrap();
    assert_eq!(instance.call("counter.increment", &[]), Ok(41.into()));
    assert_eq!(instance.call("counter.increment", &[(-2).into()]), Ok(39.into()));
    instance.quiesce();
    let log = instance.log.clone();
    drop(instance);
    assert_eq!(
        *log.lock().unwrap(),
        [line(3, "created"), line(4, "quiesced"), line(2, "dropped at 39")]
    );
}

#[test]
fn instances_share_nothing() {
    let (one, two) = (Instance::new(), Instance::new());
    assert_eq!(one.call("counter.increment", &[]), Ok(1.into()));
    assert_eq!(one.call("counter.increment", &[]), Ok(2.into()));
    assert_eq!(two.call("counter.increment", &[]), Ok(1.into()));
}

#[test]
fn an_instance_sees_its_host() {
    let given = config([("start", 1.into()), ("more", Value::Array(vec![Value::Nil]))]);
    let instance = Instance::create(given.clone()).map_err(|(failure, _)| failure).unwrap();
    assert_eq!(
        instance.call("host_facts", &[]),
        Ok(Value::Array(vec!["fake 1.2.3".into(), "/var/lib/fake".into(), given]))
    );
}

#[test]
fn a_configuration_that_does_not_fit_is_told_with_the_member() {
    let Err((failure, log)) = Instance::create(config([("start", "1".into())])) else {
        panic!("created")
    };
    let message = "configuration, member start: wants int, got string".to_owned();
    assert_eq!(failure, Failure { status: abi::ERROR, code: 0, message });
    assert!(log.lock().unwrap().is_empty());
}

#[test]
fn a_handle_that_outlives_its_instance_does_nothing() {
    let instance = Instance::new();
    let log = instance.log.clone();
    drop(instance);
    let before = log.lock().unwrap().clone();
    let ended = Fault::error("the instance has ended and has no configuration any more");
    assert_eq!(use_handles_left_behind(), [Err(ended)]);
    assert_eq!(*log.lock().unwrap(), before);
}

#[test]
fn a_panic_in_create_drops_what_was_made() {
    let Err((failure, log)) = Instance::create(config([("panic_in", "create".into())])) else {
        panic!("created")
    };
    assert_eq!(failure, panicked("create"));
    assert_eq!(*log.lock().unwrap(), [line(3, "created"), line(2, "dropped at 0")]);
    assert_eq!(use_handles_left_behind().len(), 1, "the handle was closed all the same");
}

#[test]
fn panics_in_quiesce_and_drop_go_to_the_log() {
    let instance = panicking_in("quiesce");
    instance.quiesce();
    assert_eq!(instance.logged().last(), Some(&line(1, "quiesce panicked: wanted in quiesce")));

    let instance = panicking_in("drop");
    let log = instance.log.clone();
    drop(instance);
    assert_eq!(log.lock().unwrap().last(), Some(&line(1, "drop panicked: wanted in drop")));
}

#[test]
fn state_is_handed_over_with_its_version() {
    let (old, new) = (Instance::new(), Instance::new());
    assert_eq!(old.call("counter.increment", &[5.into()]), Ok(5.into()));
    let (version, state) = old.save().unwrap();
    assert_eq!((version, &state), (3, &config([("count", 5.into())])));
    assert_eq!(new.load(version, &state), Ok(()));
    assert_eq!(new.call("counter.increment", &[]), Ok(6.into()));
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let message = "a state that is not mine".to_owned();
    let refused = Err(Failure { status: abi::ERROR, code: 0, message });
    assert_eq!(Instance::new().load(2, &config([("count", 5.into())])), refused);
    assert_eq!(Instance::new().load(3, &Value::Nil), refused);
}

#[test]
fn panics_in_save_and_load_are_caught() {
    assert_eq!(panicking_in("save").save(), Err(panicked("save")));
    assert_eq!(panicking_in("load").load(3, &Value::Nil), Err(panicked("load")));
}

#[test]
fn a_plugin_with_state_has_every_function_of_its_life() {
    let table = table();
    assert!(table.create.is_some() && table.quiesce.is_some() && table.destroy.is_some());
    assert!(table.save_state.is_some() && table.load_state.is_some());
}

#[test]
fn many_threads_share_one_instance() {
    struct Shared(Instance);
    // SAFETY: the ABI lets any thread call an instance.
    unsafe impl Sync for Shared {}
    let shared = Shared(Instance::new());
    let shared = &shared;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..100 {
                    shared.0.call("counter.increment", &[]).unwrap();
                }
            });
        }
    });
    assert_eq!(shared.0.call("counter.increment", &[]), Ok(401.into()));
}
