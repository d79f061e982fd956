//! Blocks of addresses: `Fn::Cidr`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Blocks that one call makes, at most. Source: CloudFormation's Fn::Cidr.
const BLOCKS_MAX: usize = 256;

/// The first `count` blocks with `bits` bits for hosts in a block like `10.0.0.0/16`; `None`: there are not as many.
pub(crate) fn subnets(block: &str, count: usize, bits: Option<u32>) -> Option<Vec<String>> {
    let (address, prefix) = block.split_once('/')?;
    let (address, prefix): (IpAddr, u32) = (address.parse().ok()?, prefix.parse().ok()?);
    let (base, width) = match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let bits = bits.unwrap_or(if width == 32 { 8 } else { 64 });
    let inner = width - prefix.min(width);
    if prefix > width || bits > inner || !(1..=BLOCKS_MAX).contains(&count) {
        return None;
    }
    let room = (inner - bits).min(16);
    if count > 1 << room {
        return None;
    }
    let start = if inner == 128 { 0 } else { (base >> inner) << inner };
    let step = if bits == 128 { 0 } else { 1u128 << bits };
    let shown = |address: u128| match width {
        32 => IpAddr::V4(Ipv4Addr::from(address as u32)),
        _ => IpAddr::V6(Ipv6Addr::from(address)),
    };
    Some((0..count).map(|n| format!("{}/{}", shown(start + step * n as u128), width - bits)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_cut_into_blocks() {
        for (block, count, bits, expected) in [
            ("192.168.0.0/24", 3, Some(5), Some(vec!["192.168.0.0/27", "192.168.0.32/27", "192.168.0.64/27"])),
            ("10.0.0.0/16", 2, None, Some(vec!["10.0.0.0/24", "10.0.1.0/24"])),
            ("2001:db8::/56", 2, Some(64), Some(vec!["2001:db8::/64", "2001:db8:0:1::/64"])),
            ("10.0.0.0/24", 2, None, None),
            ("10.0.0.0", 2, None, None),
            ("::/0", 1, Some(128), Some(vec!["::/0"])),
        ] {
            let expected: Option<Vec<String>> = expected.map(|all| all.into_iter().map(str::to_owned).collect());
            assert_eq!(subnets(block, count, bits), expected, "{block}");
        }
    }
}
