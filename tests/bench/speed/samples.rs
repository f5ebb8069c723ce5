//! Measurements of one thing in all rounds.

/// What was measured in each round, or why that is void. In the order of the rounds: what was
/// measured in the same round belongs together.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Result<f64, String>>);

impl Samples {
    /// The next round's.
    pub fn add(&mut self, sample: Result<f64, String>) {
        self.0.push(sample);
    }

    /// The last round's.
    pub fn last(&self) -> Option<&Result<f64, String>> {
        self.0.last()
    }

    /// This as a multiple of another thing, round by round. Between rounds the machine may become
    /// half as fast, within one less so, and what both have of that cancels out here only. A round
    /// counts if both its measurements do.
    pub fn ratios_to(&self, other: &Self) -> Self {
        let ratio =
            |(ours, theirs): (&Result<f64, String>, &Result<f64, String>)| match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => Ok(ours / theirs),
                (Err(why), _) | (_, Err(why)) => Err(why.clone()),
            };
        Self(self.0.iter().zip(&other.0).map(ratio).collect())
    }

    /// The same, with whose they are in the reasons why some are void.
    pub fn of(&self, whose: &str) -> Self {
        let named =
            |sample: &Result<f64, String>| sample.clone().map_err(|why| format!("{whose}: {why}"));
        Self(self.0.iter().map(named).collect())
    }

    /// The one in the middle, or the mean of the two there; none when all are void.
    pub fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let (count, half) = (sorted.len(), sorted.len() / 2);
        let above = *sorted.get(half)?;
        let below =
            if count.is_multiple_of(2) { *sorted.get(half.checked_sub(1)?)? } else { above };
        Some(f64::midpoint(below, above))
    }

    /// The least and the greatest.
    pub fn spread(&self) -> Option<(f64, f64)> {
        let sorted = self.sorted();
        Some((*sorted.first()?, *sorted.last()?))
    }

    /// How many there are, void ones too.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// Why measurements are void.
    pub fn void(&self) -> Vec<&str> {
        self.0.iter().filter_map(|sample| sample.as_ref().err()).map(String::as_str).collect()
    }

    fn sorted(&self) -> Vec<f64> {
        let mut valid: Vec<f64> =
            self.0.iter().filter_map(|sample| sample.as_ref().ok()).copied().collect();
        valid.sort_by(f64::total_cmp);
        valid
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().map(Ok).collect())
    }
}

impl From<f64> for Samples {
    fn from(value: f64) -> Self {
        Self(vec![Ok(value)])
    }
}
