use std::fmt;
use std::str::FromStr;

/// Which device, and what of it: `DEVICE[:PORT[:GID]]`, as `rxe0` or `mlx5_0:1:3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The kernel's name of the device.
    pub device: String,
    /// The port; the first without a wish.
    pub port: u8,
    /// The one entry of the port's GID table that is to be used; all are
    /// offered without a wish.
    pub gid: Option<u16>,
}

/// Why a text names no device. The user's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// There is nothing before the first colon.
    #[error("a device has a name, as in mlx5_0:1:3")]
    NoDevice,
    /// The port is no number from 1 to 255.
    #[error("{0:?} is no port: ports are numbered from 1 to 255")]
    Port(String),
    /// The GID index is no number, or a larger one than verbs can name.
    #[error("{0:?} is no GID index: they are numbered from 0 to 255")]
    Gid(String),
    /// There is more after the GID.
    #[error("nothing comes after the GID index in DEVICE:PORT:GID, but {0:?} does")]
    Rest(String),
}

impl Selector {
    /// All of a device's first port.
    #[must_use]
    pub fn device(name: &str) -> Self {
        Self { device: name.to_owned(), port: 1, gid: None }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let mut parts = text.splitn(4, ':');
        let device = parts.next().filter(|name| !name.is_empty()).ok_or(SelectorError::NoDevice)?;
        let mut selector = Self::device(device);
        if let Some(port) = parts.next() {
            let number = port.parse().ok().filter(|number| *number > 0);
            selector.port = number.ok_or_else(|| SelectorError::Port(port.to_owned()))?;
        }
        if let Some(gid) = parts.next() {
            // An address vector has 8 bits for it.
            let index: Result<u8, _> = gid.parse();
            selector.gid = Some(index.map_err(|_| SelectorError::Gid(gid.to_owned()))?.into());
        }
        match parts.next() {
            Some(rest) => Err(SelectorError::Rest(rest.to_owned())),
            None => Ok(selector),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.device, self.port)?;
        self.gid.map_or(Ok(()), |gid| write!(f, ":{gid}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Selector, SelectorError};

    fn parse(text: &str) -> Result<Selector, SelectorError> {
        text.parse()
    }

    #[test]
    fn device_port_and_gid_are_named() {
        assert_eq!(parse("rxe0"), Ok(Selector::device("rxe0")));
        assert_eq!(parse("mlx5_0:2"), Ok(Selector { port: 2, ..Selector::device("mlx5_0") }));
        let all = parse("mlx5_0:2:17").unwrap();
        assert_eq!((all.port, all.gid), (2, Some(17)));
        assert_eq!(all.to_string().parse(), Ok(all));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_part() {
        assert_eq!(parse(""), Err(SelectorError::NoDevice));
        assert_eq!(parse(":1"), Err(SelectorError::NoDevice));
        for port in ["0", "256", "-1", "x", ""] {
            assert_eq!(parse(&format!("a:{port}")), Err(SelectorError::Port(port.to_owned())));
        }
        for gid in ["256", "", "x"] {
            assert_eq!(parse(&format!("a:1:{gid}")), Err(SelectorError::Gid(gid.to_owned())));
        }
        assert_eq!(parse("a:1:2:3:4"), Err(SelectorError::Rest("3:4".to_owned())));
    }
}
