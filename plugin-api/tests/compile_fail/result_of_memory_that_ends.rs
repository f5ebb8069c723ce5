use hotcall_plugin::{Arena, Built, Fault, IntoValue, Type};

pub struct Name(pub String);

impl IntoValue for Name {
    const TYPE: Type = Type::Struct;

    fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        let value = true.into_value(arena)?;
        let own = self.0;
        // A name must be a constant or a copy in the call's memory: `own` is gone when the function
        // returns.
        let members = [Ok((own.as_str(), value))];
        arena.structure(members.into_iter()) //~ ERROR `own`
    }
}
