//! Decodes `<value>` elements without recursion: open elements are in a list, and its length is
//! the depth.

use super::elements::Decoder;
use super::error::DecodeError;
use super::reader::{Event, shown};
use super::scalars;
use crate::xmlrpc::resources::Stop;
use crate::xmlrpc::unique::unique;
use hotcall_plugin::{Value, abi};

/// The allocator's overhead per text.
const OVERHEAD_BYTES: usize = 16;

/// An array or struct whose end is still to come.
enum Container {
    Array(Vec<Value>),
    Struct(Members),
}

#[derive(Default)]
struct Members {
    whole: Vec<(String, Value)>,
    /// Whether a `<member>` is open; its parts so far, which come in either order.
    in_member: bool,
    name: Option<String>,
    value: Option<Value>,
}

/// What stands in a `<value>`.
enum Started {
    Whole(Value),
    Container(Container),
}

impl Decoder<'_> {
    /// Reads the rest of a `<value>` whose start tag was just read, its end tag included.
    pub(super) fn value(&mut self) -> Result<Value, DecodeError> {
        let mut open: Vec<Container> = Vec::new();
        loop {
            let mut value = match self.start()? {
                Started::Whole(value) => value,
                Started::Container(mut container) => {
                    if open.len() >= self.limits.depth_max {
                        let max = self.limits.depth_max;
                        return Err(self.invalid(format!("values are nested deeper than {max}")));
                    }
                    if self.has_another(&mut container)? {
                        open.push(container);
                        continue;
                    }
                    self.finish(container)?
                }
            };
            // Hand the whole value outwards until some container has another one to read.
            loop {
                let Some(mut container) = open.pop() else { return Ok(value) };
                self.put(&mut container, value)?;
                if self.has_another(&mut container)? {
                    open.push(container);
                    break;
                }
                value = self.finish(container)?;
            }
        }
    }

    /// Reads the start of what a `<value>` holds; all of it, its end tag included, when it is a
    /// scalar.
    fn start(&mut self) -> Result<Started, DecodeError> {
        self.values_read += 1;
        if self.values_read > self.limits.values_max {
            return Err(
                self.invalid(format!("there are more than {} values", self.limits.values_max))
            );
        }
        let mut text = String::new();
        loop {
            match self.reader.next()? {
                Event::Text(more) if text.is_empty() => text = more,
                Event::Text(more) => text.push_str(&more),
                Event::Open(_) if !scalars::trim(&text).is_empty() => {
                    return Err(self.invalid("<value> holds both text and an element"));
                }
                Event::Open(name) => return self.typed(&name),
                // No type: it is a string (XML-RPC specification, "Scalar <value>s").
                Event::Close | Event::End => return Ok(Started::Whole(self.string(text)?)),
            }
        }
    }

    /// The same, from just inside the type's element on.
    fn typed(&mut self, type_name: &str) -> Result<Started, DecodeError> {
        let value = match type_name {
            "struct" => return Ok(Started::Container(Container::Struct(Members::default()))),
            "array" => match self.child("array")?.as_deref() {
                Some("data") => return Ok(Started::Container(Container::Array(Vec::new()))),
                Some(name) => return Err(self.misplaced(name, "array")),
                None => Value::Array(Vec::new()),
            },
            "nil" => {
                self.close("nil")?;
                Value::Nil
            }
            "string" => {
                let text = self.text("string")?;
                self.string(text)?
            }
            "base64" => self.base64()?,
            _ => self.scalar(type_name)?,
        };
        self.close("value")?;
        Ok(Started::Whole(value))
    }

    fn scalar(&mut self, type_name: &str) -> Result<Value, DecodeError> {
        if type_name == "serializable" {
            return Err(self.invalid("<serializable> holds an object of Java, which is never read"));
        }
        let Some(parse) = scalars::parser(type_name) else {
            return Err(self.invalid(format!("<{}> is not a type of XML-RPC", shown(type_name))));
        };
        let text = self.text(type_name)?;
        parse(&text).map_err(|expected| self.not_of_its_type(type_name, &text, expected))
    }

    fn base64(&mut self) -> Result<Value, DecodeError> {
        let text = self.text("base64")?;
        match scalars::base64(&text, self.meter)? {
            Some(bytes) => {
                self.keep(bytes.capacity())?;
                Ok(Value::Binary(bytes))
            }
            None => Err(self.not_of_its_type("base64", &text, "base64")),
        }
    }

    fn not_of_its_type(&self, type_name: &str, text: &str, expected: &str) -> DecodeError {
        self.invalid(format!("<{type_name}> holds \"{}\", which is not {expected}", shown(text)))
    }

    fn string(&self, text: String) -> Result<Value, Stop> {
        self.keep(text.capacity())?;
        Ok(Value::String(text))
    }

    /// Reserves memory for text or bytes that become part of a value. Until now the reader's
    /// reservation covered them.
    fn keep(&self, capacity: usize) -> Result<(), Stop> {
        if capacity == 0 { Ok(()) } else { self.meter.take(capacity + OVERHEAD_BYTES) }
    }

    /// Makes room for one more item, and reserves memory for its node in the ABI tree that a plugin
    /// will be lent.
    pub(super) fn make_room<T>(&self, items: &mut Vec<T>, node_bytes: usize) -> Result<(), Stop> {
        self.meter.make_room(items, size_of::<T>() + node_bytes)
    }

    /// Adds a complete value to its container.
    fn put(&self, container: &mut Container, value: Value) -> Result<(), Stop> {
        match container {
            Container::Array(values) => {
                self.make_room(values, size_of::<abi::Value>())?;
                values.push(value);
            }
            Container::Struct(members) => members.value = Some(value),
        }
        Ok(())
    }

    /// Reads on within a container: true just inside its next `<value>`, false past its own end
    /// tag.
    fn has_another(&mut self, container: &mut Container) -> Result<bool, DecodeError> {
        match container {
            Container::Array(_) => match self.child("data")?.as_deref() {
                Some("value") => Ok(true),
                Some(name) => Err(self.misplaced(name, "data")),
                None => self.close("array").map(|()| false),
            },
            Container::Struct(members) => self.has_another_member(members),
        }
    }

    fn has_another_member(&mut self, members: &mut Members) -> Result<bool, DecodeError> {
        loop {
            let parent = if members.in_member { "member" } else { "struct" };
            match (members.in_member, self.child(parent)?.as_deref()) {
                (false, Some("member")) => members.in_member = true,
                (false, None) => return Ok(false),
                (true, Some("name")) if members.name.is_none() => {
                    members.name = Some(self.member_name()?)
                }
                (true, Some("value")) if members.value.is_none() => return Ok(true),
                (true, None) => match (members.name.take(), members.value.take()) {
                    (Some(name), Some(value)) => {
                        self.make_room(&mut members.whole, size_of::<abi::Member>())?;
                        members.whole.push((name, value));
                        members.in_member = false;
                    }
                    (None, _) => return Err(self.invalid("<member> has no <name>")),
                    (_, None) => return Err(self.invalid("<member> has no <value>")),
                },
                (_, Some(name)) => return Err(self.misplaced(name, parent)),
            }
        }
    }

    fn member_name(&mut self) -> Result<String, DecodeError> {
        let name = self.text("name")?;
        let max = self.limits.name_bytes_max;
        if name.len() > max {
            return Err(self.invalid(format!("<name> is longer than {max} bytes")));
        }
        self.keep(name.capacity())?;
        Ok(name)
    }

    /// A container whose end tag was read, once the `<value>` round it ends as well.
    fn finish(&mut self, container: Container) -> Result<Value, DecodeError> {
        self.close("value")?;
        Ok(match container {
            Container::Array(values) => Value::Array(values),
            Container::Struct(members) => {
                Value::Struct(unique(members.whole, self.meter, |(name, _)| name.as_bytes())?)
            }
        })
    }
}
