//! The namespace of Apache's extensions, such as `<ex:nil/>`. Must not know who declares it.

/// As a literal, for `concat!`.
macro_rules! ex_namespace {
    () => {
        "http://ws.apache.org/xmlrpc/namespaces/extensions"
    };
}

pub(super) use ex_namespace;

/// The namespace's name.
pub(super) const EX_NAMESPACE: &str = ex_namespace!();
