//! A static library without std over all protocol rooms: it builds only if none
//! of them, and nothing they depend on, needs std. See `Cargo.toml` beside it.

#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

/// Refuses every allocation: this library is linked, never run.
struct NoMemory;

// SAFETY: returning null is what `alloc` is documented to do when it fails, so
// no block is ever handed out and `dealloc` is never called with one.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _layout: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static ALLOCATOR: NoMemory = NoMemory;

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Uses every room, so that each is linked and none is optimised away.
#[unsafe(no_mangle)]
pub extern "C" fn smolsmc_rooms(octet: u8) -> usize {
    let octets = [octet; 64];
    let mut parsed = 0;
    parsed += usize::from(smolsmc_wire::Reader::new("proof", &octets).u8().is_ok());
    parsed += usize::from(smolsmc_verbs::QpState::Reset < smolsmc_verbs::QpState::Error);
    parsed += usize::from(smolsmc_clc::Message::parse(&octets).is_ok());
    parsed += usize::from(smolsmc_llc::Message::parse(&octets).is_ok());
    parsed += usize::from(smolsmc_cdc::CdcMessage::parse(&octets).is_ok());
    parsed += usize::from(smolsmc_roce::packet::Bth::parse(&octets).is_ok());
    parsed += smolsmc_rmb::Writes::plan(0, 64, 0, 64, u32::from(octet)).as_slice().len();
    parsed += usize::from(smolsmc_stack::Stack::new(smolsmc_stack::Config::new([octet; 32]), nic(octet), now()).is_ok());
    parsed += usize::from(smolsmc::soft(smolsmc::Config::new([octet; 32]), now()).is_ok());
    parsed
}

fn nic(octet: u8) -> smolsmc::SoftNic {
    match smolsmc::SoftNic::new(&smolsmc_roce::nic::Config::new([octet; 32])) {
        Ok(nic) => nic,
        Err(_) => panic!("a NIC without devices"),
    }
}

const fn now() -> smolsmc::Instant {
    smolsmc::Instant::ZERO
}
