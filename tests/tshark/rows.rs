//! A row of the comparison: which of tshark's fields is which of ours.

use serde_json::Value;

use crate::form::Form;
use crate::shown::ShownLayer;
use crate::{rows_below, rows_clc, rows_link};

/// Fields that occur together: a header, or a kind of message.
pub(crate) struct Group {
    /// As it stands in the table.
    pub(crate) name: &'static str,
    /// What is compared; a list of lists, as kinds of messages share fields.
    pub(crate) rows: &'static [&'static [Row]],
}

impl Group {
    /// All rows in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static Row> {
        self.rows.iter().copied().flatten()
    }
}

/// Every group; a row is known by its group's place here and its own in it.
pub(crate) const GROUPS: &[&[Group]] = &[rows_below::GROUPS, rows_clc::GROUPS, rows_link::GROUPS];

/// All groups in order.
pub(crate) fn groups() -> impl Iterator<Item = &'static Group> {
    GROUPS.iter().copied().flatten()
}

/// One field.
pub(crate) struct Row {
    /// tshark's name of it.
    pub(crate) shown: &'static str,
    /// How it is written.
    pub(crate) form: Form,
    /// Which of tshark's values are meant.
    pub(crate) pick: Pick,
    /// Where ours come from.
    pub(crate) ours: Ours,
    /// What it is, if tshark's name says something else; then an exception of
    /// the kind [`Misnamed`](crate::exceptions::Kind::Misnamed) is due.
    pub(crate) really: Option<&'static str>,
}

/// Which of tshark's values a row compares.
pub(crate) enum Pick {
    /// All of them, in order.
    All,
    /// One of several that share the name, counted from 0.
    Nth(usize),
    /// What can be read from the layer as a whole.
    Made(fn(&ShownLayer) -> Vec<String>),
}

/// Where our values come from. No value is no occurrence of the field.
pub(crate) enum Ours {
    /// A JSON pointer to a value or a list of values.
    At(&'static str),
    /// Put together from several of ours.
    Number(fn(&Value) -> Option<u64>),
    /// Several values.
    List(fn(&Value) -> Vec<Value>),
}

impl Row {
    /// A field that both have under a name.
    pub(crate) const fn at(shown: &'static str, form: Form, pointer: &'static str) -> Self {
        Self { shown, form, pick: Pick::All, ours: Ours::At(pointer), really: None }
    }

    /// A number that both have under a name.
    pub(crate) const fn number(shown: &'static str, pointer: &'static str) -> Self {
        Self::at(shown, Form::Number, pointer)
    }

    /// A number that is put together from several of ours.
    pub(crate) const fn made(shown: &'static str, ours: fn(&Value) -> Option<u64>) -> Self {
        Self { shown, form: Form::Number, pick: Pick::All, ours: Ours::Number(ours), really: None }
    }

    /// Several values.
    pub(crate) const fn list(shown: &'static str, form: Form, ours: fn(&Value) -> Vec<Value>) -> Self {
        Self { shown, form, pick: Pick::All, ours: Ours::List(ours), really: None }
    }

    /// The same, but of other values of tshark's.
    pub(crate) const fn picking(self, pick: Pick) -> Self {
        Self { pick, ..self }
    }

    /// The same, for a field that tshark shows under a misleading name.
    pub(crate) const fn really(self, what: &'static str) -> Self {
        Self { really: Some(what), ..self }
    }

    /// As it stands in the table.
    pub(crate) fn label(&self) -> String {
        match self.really {
            Some(what) => format!("{} ({what})", self.shown),
            None => self.shown.to_owned(),
        }
    }

    /// tshark's values.
    pub(crate) fn shown_values(&self, layer: &ShownLayer) -> Vec<String> {
        let all = || layer.get(self.shown).cloned().unwrap_or_default();
        match self.pick {
            Pick::All => all(),
            Pick::Nth(n) => all().into_iter().skip(n).take(1).collect(),
            Pick::Made(read) => read(layer),
        }
    }

    /// Our values.
    pub(crate) fn our_values(&self, ours: &Value) -> Vec<Value> {
        match self.ours {
            Ours::At(pointer) => match ours.pointer(pointer) {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(several)) => several.clone(),
                Some(one) => vec![one.clone()],
            },
            Ours::Number(make) => make(ours).map(Value::from).into_iter().collect(),
            Ours::List(make) => make(ours),
        }
    }
}
