//! Addresses as they are written on the command line. Each error is the end of a
//! sentence that begins with what was written.

use std::net::{IpAddr, SocketAddr};

use smolsmc::{Eid, Mac};

/// An address with the length of its subnet's prefix: 10.9.0.1/24.
pub(crate) fn subnet_address(text: &str) -> Result<(IpAddr, u8), String> {
    let wanted = "an address with its prefix length is wanted, such as 10.9.0.1/24";
    let (address, prefix) = text.split_once('/').ok_or(wanted)?;
    let address: IpAddr = address.parse().map_err(|_| wanted)?;
    let prefix: u8 = prefix.parse().map_err(|_| wanted)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    if prefix > most {
        return Err(format!("a prefix of this kind has at most {most} bits"));
    }
    Ok((address, prefix))
}

/// A station's Ethernet address: 02:00:00:00:00:01.
pub(crate) fn mac(text: &str) -> Result<Mac, String> {
    let wanted = "six octets in hexadecimal are wanted, such as 02:00:00:00:00:01";
    let octets: Option<Vec<u8>> = text
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).ok().filter(|_| octet.len() == 2 && !octet.contains('+')))
        .collect();
    let octets: [u8; 6] = octets.and_then(|octets| octets.try_into().ok()).ok_or(wanted)?;
    if octets[0] & 1 != 0 || octets == [0; 6] {
        return Err("this is no station's address".to_owned());
    }
    Ok(Mac(octets))
}

/// A host's address and its port: 10.9.0.1:5000.
pub(crate) fn host_and_port(text: &str) -> Result<SocketAddr, String> {
    let wanted = "an address with a port is wanted, such as 10.9.0.1:5000 (names are not looked up)";
    let address: SocketAddr = text.parse().map_err(|_| wanted)?;
    if address.port() == 0 {
        return Err("port 0 cannot be connected to".to_owned());
    }
    Ok(address)
}

/// A host's address.
pub(crate) fn host(text: &str) -> Result<IpAddr, String> {
    let wanted = "an address is wanted, such as 10.9.0.1 (names are not looked up)";
    text.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| wanted.to_owned())
}

/// A port that can be connected to or listened on.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    let wanted = "a port is wanted, 1 to 65535";
    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| wanted.to_owned())
}

/// A port, perhaps after an address to which it is bound: 6379, 127.0.0.1:6379.
pub(crate) fn bound_port(text: &str) -> Result<(Option<IpAddr>, u16), String> {
    match text.rsplit_once(':') {
        Some((address, number)) => Ok((Some(host(address)?), port(number)?)),
        None => Ok((None, port(text)?)),
    }
}

/// A place to listen at, and one to pass on to: 6379=10.9.0.1:6379.
pub(crate) fn passage(text: &str) -> Result<Passage, String> {
    let wanted = "a port and a place to pass on to are wanted, such as 6379=10.9.0.1:6379";
    let (here, there) = text.split_once('=').ok_or(wanted)?;
    let (address, port) = bound_port(here)?;
    Ok(Passage { address, port, to: host_and_port(there)? })
}

/// Where connections come in, and where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) to: SocketAddr,
}

/// An enterprise id.
pub(crate) fn eid(text: &str) -> Result<Eid, String> {
    Eid::from_ascii(text).map_err(|error| error.to_string())
}

/// A station's address for who gave none: locally administered, and different
/// for hosts of one subnet.
pub(crate) fn mac_of(address: IpAddr) -> Mac {
    let tail = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
    };
    Mac([0x02, 0x53, tail[0], tail[1], tail[2], tail[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert_eq!(subnet_address("10.9.0.1/24"), Ok((IpAddr::from([10, 9, 0, 1]), 24)));
        assert!(subnet_address("fd00::1/64").is_ok());
        assert_eq!(mac("02:0a:FF:00:00:01"), Ok(Mac([2, 10, 255, 0, 0, 1])));
        assert!(host_and_port("10.9.0.1:5000").is_ok() && host_and_port("[fd00::1]:5000").is_ok());
        assert_eq!(mac_of(IpAddr::from([10, 9, 0, 1])), Mac([2, 0x53, 10, 9, 0, 1]));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "10.9.0.1", "10.9.0.1/", "10.9.0.1/33", "10.9.0/24", "fd00::1/129", "a/24", "10.9.0.1/-1"]
        {
            assert!(subnet_address(text).is_err(), "{text}");
        }
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "2:0:0:0:0:1",
            "+2:00:00:00:00:01",
            "02-00-00-00-00-01",
        ] {
            assert!(mac(text).is_err(), "{text}");
        }
        assert!(mac("01:00:5e:00:00:01").is_err() && mac("00:00:00:00:00:00").is_err(), "no station's");
        for text in ["", "10.9.0.1", "10.9.0.1:0", "localhost:5000", "10.9.0.1:70000"] {
            assert!(host_and_port(text).is_err(), "{text}");
        }
    }
}
