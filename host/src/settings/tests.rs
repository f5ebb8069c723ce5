//! Declarations and what is made from them.

use super::*;

settings! {
    /// A file.
    #[derive(Debug, PartialEq)]
    struct File {
        /// What it does.
        ///
        /// For readers of the code.
        number_max: usize = 1_000 => range(1, 2_000);
        /// Where it is.
        place: Option<PathBuf> = None =>
            reloaded(),
            example("\"there\""),
            flag(flag!(PathBuf, "place", "DIR", "There"));
        /// Others.
        others: Vec<PathBuf> = Vec::new() => example("[]"), group("place or others");
    }
}

#[test]
fn a_declaration_is_all_that_there_is_of_a_setting() {
    let file = File::default();
    assert_eq!(file, File { number_max: 1_000, place: None, others: Vec::new() });
    let [number_max, place, others] = File::SETTINGS else { panic!("{:?}", File::SETTINGS) };
    assert_eq!((number_max.key, number_max.value), ("number_max", "1_000"));
    assert_eq!(number_max.doc, [" What it does.", "", " For readers of the code."]);
    assert_eq!((number_max.least, number_max.most), (1, 2_000));
    assert!(!number_max.is_reloaded && place.is_reloaded);
    assert_eq!((place.value, place.is_example), ("\"there\"", true));
    assert_eq!(place.flag.as_ref().map(|flag| flag.long), Some("place"));
    assert_eq!(
        [number_max.name(), place.name(), others.name()],
        ["number_max", "place", "place or others"]
    );
    let numbers: Vec<_> = file.values().into_iter().map(number).collect();
    assert_eq!(numbers, [Some(1_000), None, None]);
    let changed = File { number_max: 1, ..File::default() }.differing(&file);
    assert_eq!(changed.iter().map(|setting| setting.key).collect::<Vec<_>>(), ["number_max"]);
}

macro_rules! room_keys {
    ({ $($struct:tt)* } { $($before:tt)* } { $($after:tt)* } $($rest:tt)*) => {
        settings! { $($struct)* { $($before)*
            /// The room's.
            inner: Option<u64> = None => shown("1"), reloaded();
        $($after)* } $($rest)* }
    };
}

room_keys! {
    {
        /// What the room takes.
        struct RoomKeys
    } {} {}
}

settings! {
    /// A file that takes in the room's.
    struct Whole {
        /// Before it.
        first: u64 = 1;
    } RoomKeys in room_keys! {
        /// Behind it.
        last: u64 = 3;
    }
}

#[test]
fn a_room_s_settings_stand_between_others_and_are_handed_over_as_they_are() {
    let of_whole: Vec<_> = Whole::SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(of_whole, ["first", "inner", "last"]);
    assert!(Whole::SETTINGS[1].is_reloaded && RoomKeys::SETTINGS[0].is_reloaded);
    let whole = Whole { inner: Some(2), ..Whole::default() };
    assert_eq!((whole.first, RoomKeys::from(&whole).inner, whole.last), (1, Some(2), 3));
    assert_eq!(RoomKeys::default().inner, None);
}

#[test]
fn relative_paths_of_all_settings_start_at_the_base() {
    let others = vec!["b".into(), "/c".into()];
    let mut file = File { number_max: 1, place: Some("a".into()), others };
    file.anchor(Path::new("/base"));
    assert_eq!(file.place, Some("/base/a".into()));
    assert_eq!(file.others, [PathBuf::from("/base/b"), PathBuf::from("/c")]);
}
