//! The parts of a request around the body: paths and queries, entity tags, addresses, tokens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use healthcare_backend::Network;
use healthcare_backend::internals::validate::QueryParameters;
use healthcare_backend::internals::{
    Claims, Headers, Method, Request, Tokens, client_address, client_network, client_site,
};
use proptest::prelude::*;

use crate::harness::app::SECRET;

fn request(path: &str, raw_query: &str, headers: &[(&str, &str)]) -> Request {
    let mut known = Headers::default();
    for (name, value) in headers {
        known.add(name, value);
    }
    Request {
        id: "test".into(),
        method: Method::Get,
        path: path.into(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        headers: known,
        body: Vec::new(),
        raw_query: raw_query.into(),
        parameters: Vec::new(),
        query_names: &[],
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

proptest! {
    #[test]
    fn a_path_is_decoded_once_and_a_slash_in_it_stays_what_it_was(text in "(?s:.){0,20}") {
        let (path, query) = Request::split_target(&format!("/a/{}?{}", encoded(&text), "x=%41")).expect("a target");
        prop_assert_eq!(path, format!("/a/{}", text.replace('/', "%2F")));
        prop_assert_eq!(query, "x=%41", "the query is left for later");
    }

    #[test]
    fn a_target_never_panics(text in "[%a-f0-9/?]{0,30}|(?s:.){0,30}") {
        if let Ok((path, _)) = Request::split_target(&text) {
            prop_assert!(path.len() <= text.len() || text.contains('%'));
        }
    }

    #[test]
    fn a_link_to_the_next_page_keeps_every_other_parameter(
        name in "(?s:.){0,12}", specialization in "(?s:.){0,12}", before in 1i64..1000, next in 1i64..1000, with_after: bool,
    ) {
        let mut raw = format!("name={}&specialization={}", encoded(&name), encoded(&specialization));
        if with_after {
            raw = format!("after={before}&{raw}");
        }
        let target = request("/api/doctors", &raw, &[]).target_with(&[("after", &next.to_string())]);
        prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte)), "{}", target);
        let (path, query) = Request::split_target(&target).expect("a target");
        prop_assert_eq!(path, "/api/doctors");
        let known = ["name", "specialization", "after", "limit"];
        let (mut was, mut is) = (QueryParameters::parse(&raw, &known), QueryParameters::parse(&query, &known));
        prop_assert_eq!(was.part("name"), is.part("name"));
        prop_assert_eq!(was.part("specialization"), is.part("specialization"));
        prop_assert_eq!(is.page("after").after, Some(next));
        // And a link made from a link is one as well.
        let again = request("/api/doctors", &query, &[]).target_with(&[("after", &next.to_string())]);
        prop_assert_eq!(again, target);
    }

    #[test]
    fn entity_tags_are_read_whatever_they_hold(
        tags in prop::collection::vec((any::<bool>(), "[!#-~]{0,8}|[a-z, ]{0,8}"), 1..5), gap in " {0,2}",
    ) {
        let written: Vec<String> =
            tags.iter().map(|(weak, opaque)| format!("{}\"{opaque}\"", if *weak { "W/" } else { "" })).collect();
        let value = written.join(&format!("{gap},{gap}"));
        let strong: Vec<String> = tags.iter().filter(|(weak, _)| !weak).map(|(_, opaque)| opaque.clone()).collect();
        prop_assert_eq!(request("/", "", &[("if-match", &value)]).if_match(), Ok(Some(strong)));
        let reading = request("/", "", &[("if-none-match", &value)]);
        for (_, opaque) in &tags {
            prop_assert!(reading.already_has(opaque), "the weak comparison");
        }
        prop_assert!(!reading.already_has("not among them"));
    }

    #[test]
    fn a_text_that_is_no_list_of_entity_tags_is_refused_and_never_panics(value in "[\"W/,* a]{0,12}|.{0,20}") {
        let request = request("/", "", &[("if-match", &value), ("if-none-match", &value)]);
        let _ = request.already_has("1");
        if let Ok(versions) = request.if_match() {
            prop_assert!(versions.is_none() == (value.trim() == "*"));
            prop_assert!(value.contains('"') || versions.is_none());
        }
    }

    #[test]
    fn a_network_holds_the_addresses_that_share_its_prefix_and_no_other(
        address: u32, other: u32, v6: u128, other_v6: u128, length in 0u32..=32, length_v6 in 0u32..=128,
    ) {
        let shares = |one: u128, two: u128, length: u32, width: u32| {
            length == 0 || (one ^ two) >> (width - length) == 0
        };
        let network = Network::parse(&format!("{}/{length}", Ipv4Addr::from(address))).expect("a network");
        prop_assert!(network.contains(Ipv4Addr::from(address).into()));
        prop_assert_eq!(
            network.contains(Ipv4Addr::from(other).into()),
            shares(address.into(), other.into(), length, 32)
        );
        if length > 0 {
            let neighbour = address ^ (1 << (32 - length));
            prop_assert!(!network.contains(Ipv4Addr::from(neighbour).into()), "the last bit of the prefix counts");
        }
        prop_assert!(network.contains(Ipv4Addr::from(address).to_ipv6_mapped().into()), "mapped is the same address");
        let network = Network::parse(&format!("{}/{length_v6}", Ipv6Addr::from(v6))).expect("a network");
        prop_assert!(network.contains(Ipv6Addr::from(v6).into()));
        prop_assert_eq!(network.contains(Ipv6Addr::from(other_v6).into()), shares(v6, other_v6, length_v6, 128));
    }

    #[test]
    fn no_text_makes_the_network_parser_panic(text in "[0-9a-f.:/]{0,24}|.{0,20}") {
        let _ = Network::parse(&text);
    }

    #[test]
    fn without_a_trusted_peer_a_forwarded_address_is_ignored(peer: u32, claim in "[0-9., ]{0,30}|.{0,30}") {
        let peer = IpAddr::from(Ipv4Addr::from(peer));
        let trusted = [Network::parse("203.0.113.77").expect("a network")];
        prop_assume!(!trusted[0].contains(peer));
        prop_assert_eq!(client_address(peer, Some(&claim), &[]), peer);
        prop_assert_eq!(client_address(peer, Some(&claim), &trusted), peer);
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy_whatever_stands_before_it(
        claim in "[0-9., ]{0,20}|.{0,20}", client in 0x0100_0000u32..0x0a00_0000, proxies in prop::collection::vec(any::<u8>(), 0..4),
        port: Option<u16>,
    ) {
        let trusted = [Network::parse("10.0.0.0/8").expect("a network")];
        let client = Ipv4Addr::from(client);
        let written = port.map_or(client.to_string(), |port| format!("{client}:{port}"));
        let mut chain = vec![claim, written];
        chain.extend(proxies.iter().map(|last| format!("10.0.0.{last}")));
        let peer = IpAddr::from(Ipv4Addr::new(10, 1, 2, 3));
        prop_assert_eq!(client_address(peer, Some(&chain.join(", ")), &trusted), IpAddr::from(client));
    }

    #[test]
    fn one_client_is_one_ipv4_address_or_one_ipv6_64(one: u128, host: u64, v4: u32) {
        let same_net = (one >> 64 << 64) | u128::from(host);
        let (one, two) = (IpAddr::from(Ipv6Addr::from(one)), IpAddr::from(Ipv6Addr::from(same_net)));
        prop_assume!(one.to_canonical().is_ipv6() && two.to_canonical().is_ipv6());
        prop_assert_eq!(client_network(one), client_network(two));
        let v4 = Ipv4Addr::from(v4);
        prop_assert_eq!(client_network(v4.into()), IpAddr::from(v4));
        prop_assert_eq!(client_network(v4.to_ipv6_mapped().into()), IpAddr::from(v4));
    }

    #[test]
    fn one_ipv4_address_or_one_ipv6_48_has_one_turn(one: u128, subnet: u128, v4: u32) {
        let same_site = (one >> 80 << 80) | (subnet >> 48);
        let (one, two) = (IpAddr::from(Ipv6Addr::from(one)), IpAddr::from(Ipv6Addr::from(same_site)));
        prop_assume!(one.to_canonical().is_ipv6() && two.to_canonical().is_ipv6());
        prop_assert_eq!(client_site(one), client_site(two));
        let v4 = Ipv4Addr::from(v4);
        prop_assert_eq!(client_site(v4.to_ipv6_mapped().into()), IpAddr::from(v4));
    }

    #[test]
    fn a_token_says_what_was_put_in(user_id in 1i64.., session_id in 1i64.., ttl in 1u64..100_000, left in 1i64..100_000) {
        let tokens = Tokens::new(SECRET, None, ttl);
        let ends_at = jiff::Timestamp::now().as_second() + left;
        let (token, seconds) = tokens.issue(user_id, session_id, ends_at).expect("a token");
        prop_assert!(seconds <= i64::try_from(ttl).expect("small").min(left) && seconds >= 0);
        // The second may have turned since `ends_at` was computed.
        if seconds > 1 {
            prop_assert_eq!(tokens.verify(&token), Some(Claims { user_id, session_id }));
            let rotated = Tokens::new("another secret of 32 bytes or more", Some(SECRET), ttl);
            prop_assert!(rotated.verify(&token).is_some(), "the previous secret");
            prop_assert!(Tokens::new("another secret of 32 bytes or more", None, ttl).verify(&token).is_none());
        }
    }

    #[test]
    fn a_token_with_one_other_character_is_refused(place: prop::sample::Index, sign in "[A-Za-z0-9_.-]") {
        let tokens = Tokens::new(SECRET, None, 1000);
        let (token, _) = tokens.issue(1, 1, i64::MAX).expect("a token");
        let place = place.index(token.len());
        prop_assume!(token[place..=place] != sign);
        let mut forged = token;
        forged.replace_range(place..=place, &sign);
        prop_assert_eq!(tokens.verify(&forged), None);
    }

    #[test]
    fn no_text_is_a_token(text in "[A-Za-z0-9_.-]{0,80}|(?s:.){0,60}|[A-Za-z0-9_-]{4,40}\\.[A-Za-z0-9_-]{4,40}\\.[A-Za-z0-9_-]{43}") {
        prop_assert_eq!(Tokens::new(SECRET, None, 1000).verify(&text), None);
    }
}
