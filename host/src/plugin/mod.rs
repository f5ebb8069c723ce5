//! The plugin life cycle.
