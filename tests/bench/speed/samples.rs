//! Measurements of one thing in all rounds.

/// What was measured, and why some measurements are void.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    valid: Vec<f64>,
    void: Vec<String>,
}

impl Samples {
    /// One round's.
    pub fn add(&mut self, sample: Result<f64, String>) {
        match sample {
            Ok(value) => {
                let at = self.valid.partition_point(|other| *other < value);
                self.valid.insert(at, value);
            }
            Err(why) => self.void.push(why),
        }
    }

    /// The one in the middle, or the mean of the two there; none when all are void.
    pub fn median(&self) -> Option<f64> {
        let (count, half) = (self.valid.len(), self.valid.len() / 2);
        let above = *self.valid.get(half)?;
        let below = if count.is_multiple_of(2) { *self.valid.get(half.checked_sub(1)?)? } else { above };
        Some(f64::midpoint(below, above))
    }

    /// The least and the greatest.
    pub fn spread(&self) -> Option<(f64, f64)> {
        Some((*self.valid.first()?, *self.valid.last()?))
    }

    /// Why measurements are void, and of how many in all.
    pub fn void(&self) -> (&[String], usize) {
        (&self.void, self.void.len() + self.valid.len())
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut samples = Self::default();
        values.into_iter().for_each(|value| samples.add(Ok(value)));
        samples
    }
}
