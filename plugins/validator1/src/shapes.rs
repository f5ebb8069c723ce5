//! The structs of the suite, by the names that its clients give their members. Must not know of
//! methods.

use crate::sum::sum;
use hotcall_plugin::{Fault, FromValue, IntoValue};

/// A struct of which one member matters.
#[derive(FromValue)]
pub(crate) struct Curly {
    pub(crate) curly: Option<i32>,
}

/// Three numbers.
#[derive(FromValue)]
pub(crate) struct Stooges {
    pub(crate) moe: i32,
    pub(crate) larry: i32,
    pub(crate) curly: i32,
}

impl Stooges {
    pub(crate) fn sum(&self) -> Result<i32, Fault> {
        sum([self.moe, self.larry, self.curly].into_iter())
    }
}

/// Years; the one that matters, and of it the month and the day that matter.
#[derive(FromValue)]
pub(crate) struct Calendar {
    #[hotcall(rename = "2000")]
    pub(crate) year_2000: Year,
}

/// The months of a year.
#[derive(FromValue)]
pub(crate) struct Year {
    #[hotcall(rename = "04")]
    pub(crate) april: April,
}

/// The days of April.
#[derive(FromValue)]
pub(crate) struct April {
    #[hotcall(rename = "01")]
    pub(crate) first: Stooges,
}

/// How often each character occurs that XML writes as an entity.
#[derive(IntoValue)]
pub(crate) struct Entities {
    #[hotcall(rename = "ctLeftAngleBrackets")]
    pub(crate) left_angle_brackets: i32,
    #[hotcall(rename = "ctRightAngleBrackets")]
    pub(crate) right_angle_brackets: i32,
    #[hotcall(rename = "ctAmpersands")]
    pub(crate) ampersands: i32,
    #[hotcall(rename = "ctApostrophes")]
    pub(crate) apostrophes: i32,
    #[hotcall(rename = "ctQuotes")]
    pub(crate) quotes: i32,
}

impl Entities {
    pub(crate) fn of(text: &str) -> Result<Self, Fault> {
        let count = |c| {
            let too_many =
                |_| Fault::invalid_params(format!("the text has more {c} than an int can count"));
            i32::try_from(text.matches(c).count()).map_err(too_many)
        };
        Ok(Self {
            left_angle_brackets: count('<')?,
            right_angle_brackets: count('>')?,
            ampersands: count('&')?,
            apostrophes: count('\'')?,
            quotes: count('"')?,
        })
    }
}

/// A number times powers of ten.
#[derive(IntoValue)]
pub(crate) struct Multiples {
    pub(crate) times10: i32,
    pub(crate) times100: i32,
    pub(crate) times1000: i32,
}

impl Multiples {
    pub(crate) fn of(number: i32) -> Result<Self, Fault> {
        let times = |factor| {
            let too_large =
                || Fault::invalid_params(format!("{number} times {factor} exceeds a 32-bit int"));
            number.checked_mul(factor).ok_or_else(too_large)
        };
        Ok(Self { times10: times(10)?, times100: times(100)?, times1000: times(1_000)? })
    }
}
