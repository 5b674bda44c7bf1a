//! What a peer finds in a page: what is meant for it, and zeros.
#![cfg(not(loom))]

mod common;

use common::World;
use xen_grant_table::{Access, Grant, Limits, Mapping, Page, ReadMapping, TooLong};
use xen_sim::Domain;

const LIMITS: Limits = Limits::exactly(8);
const SECRET: &[u8] = b"not for the peer";

/// All that the peer can see.
fn seen(world: &World, grant: &Grant<Domain>) -> Vec<u8> {
    let mapping = ReadMapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).unwrap();
    let mut bytes = vec![0xee; 4096];
    assert_eq!(mapping.read(0, &mut bytes), 4096);
    bytes
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// A page full of something.
fn secret_page(world: &World) -> Page<Domain> {
    let mut page = world.page();
    for chunk in page.bytes_mut().chunks_mut(SECRET.len()) {
        chunk.copy_from_slice(SECRET);
    }
    page
}

#[test]
fn hc_164_the_peer_sees_the_payload_and_zeros() {
    let world = World::new();
    let account = world.account(LIMITS);
    let mut page = world.page();
    page.fill(b"payload").unwrap();
    let bytes = seen(&world, &page.grant(&account, Access::ReadOnly).unwrap());
    assert_eq!(&bytes[..7], b"payload");
    assert!(is_zero(&bytes[7..]));
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_165_a_shorter_payload_leaves_nothing_of_the_one_before() {
    let world = World::new();
    let account = world.account(LIMITS);
    let mut page = secret_page(&world);
    for len in [4096, 4095, 60, 61, 0] {
        page.fill(&vec![7; len]).unwrap();
        let grant = page.grant(&account, Access::ReadOnly).unwrap();
        let bytes = seen(&world, &grant);
        assert!(bytes[..len].iter().all(|byte| *byte == 7) && is_zero(&bytes[len..]), "{len}");
        page = grant.revoke().unwrap();
    }
    assert_eq!(page.fill(&[7; 4097]), Err(TooLong));
    assert!(is_zero(page.bytes()), "as before");
}

#[test]
fn hc_165_bytes_written_while_granted_go_too() {
    let world = World::new();
    let account = world.account(LIMITS);
    let mut grant = world.grant(&account, Access::ReadOnly);
    assert_eq!(grant.write(100, SECRET), SECRET.len());
    let mut page = grant.revoke().unwrap();
    page.fill(b"short").unwrap();
    assert!(is_zero(&page.bytes()[5..]));
}

#[test]
fn hc_169_a_page_to_fill_is_scrubbed_whatever_was_in_it() {
    let world = World::new();
    let account = world.account(LIMITS);
    let other = world.account(LIMITS);
    let grant = secret_page(&world).grant_to_fill(&account).unwrap();
    assert!(is_zero(&seen(&world, &grant)));
    let page = peer_writes(&world, grant, b"of one peer");
    let grant = page.grant_to_fill(&other).unwrap();
    assert!(is_zero(&seen(&world, &grant)), "what one peer wrote is not for another");
    let mut page = peer_writes(&world, grant, b"a failed read");
    page.bytes_mut()[50..50 + SECRET.len()].copy_from_slice(SECRET);
    let grant = page.grant_to_fill(&other).unwrap();
    assert!(is_zero(&seen(&world, &grant)), "what we wrote since is not for it either");
}

#[test]
fn hc_168_a_page_of_zeros_is_one_whoever_had_it() {
    let world = World::new();
    let account = world.account(LIMITS);
    let page = peer_writes(&world, world.page().grant_zeroed(&account).unwrap(), b"a whole frame");
    let grant = page.grant_zeroed(&account).unwrap();
    assert!(is_zero(&seen(&world, &grant)), "a short frame does not end with this one");
}

#[test]
fn hc_165_a_page_filled_in_place_ends_with_zeros() {
    let world = World::new();
    let mut page = secret_page(&world);
    assert_eq!(page.fill_with(4097, |_| ()), Err(TooLong));
    assert!(!is_zero(page.bytes()), "as before");
    assert_eq!(page.fill_with(5, |start| (start.copy_from_slice(b"words"), start.len()).1), Ok(5));
    assert_eq!((&page.bytes()[..5], is_zero(&page.bytes()[5..])), (&b"words"[..], true));
    let fill = std::panic::AssertUnwindSafe(|| page.fill_with(9, half_way));
    std::panic::catch_unwind(fill).unwrap_err();
    page.fill(b"").unwrap();
    assert!(is_zero(page.bytes()), "nothing of what was begun");
}

/// To scrub a page costs more than all the rest; what the same peer wrote it knows.
#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn a_page_that_goes_to_its_peer_again_is_not_scrubbed() {
    let world = World::new();
    let account = world.account(LIMITS);
    let page = peer_writes(&world, world.page().grant_to_fill(&account).unwrap(), b"its own words");
    let grant = page.grant_to_fill(&account).unwrap();
    assert_eq!(&seen(&world, &grant)[..13], b"its own words");
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn what_a_peer_wrote_stays_for_whoever_reads_it() {
    let world = World::new();
    let (account, other) = (world.account(LIMITS), world.account(LIMITS));
    let page = peer_writes(&world, world.page().grant_to_fill(&account).unwrap(), b"a block");
    let grant = page.grant(&other, Access::ReadOnly).unwrap();
    assert_eq!(&seen(&world, &grant)[..7], b"a block", "a block that is read and then written elsewhere");
}

#[test]
fn pages_are_their_owners() {
    fn is_send<T: Send>() {}
    is_send::<Page<Domain>>();
    is_send::<Grant<Domain>>();
    is_send::<xen_grant_table::GrantRun<Domain>>();
    is_send::<Mapping<Domain>>();
}

fn half_way(bytes: &mut [u8]) {
    bytes.fill(1);
    panic!("half way");
}

fn peer_writes(world: &World, grant: Grant<Domain>, text: &[u8]) -> Page<Domain> {
    let mapping = Mapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).unwrap();
    assert_eq!(xen_shared_ring::Region::memory(&mapping).write(0, text), text.len());
    mapping.unmap().unwrap();
    grant.revoke().unwrap()
}
