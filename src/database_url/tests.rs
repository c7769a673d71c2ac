//! What a connection's text comes to, and what is said about one that cannot be meant.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use postgres::config::{Host, LoadBalanceHosts, SslMode as DriverSslMode, TargetSessionAttrs};
use proptest::prelude::*;

use super::connect::Opening;
use super::{ConnectError, DatabaseUrl, SslMode, certificate};

fn parsed(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    DatabaseUrl::parse(text).err().unwrap_or_else(|| panic!("{text} was taken"))
}

fn tcp(name: &str) -> Host {
    Host::Tcp(name.to_owned())
}

#[test]
fn a_url_says_who_where_and_what() {
    let url = parsed(
        "postgres://cl%40inic:p%3Ass%20w%25rd@db.example:6000/pati%65nts?application_name=a+b&options=-c%20jit%3Doff",
    );

    assert_eq!(url.config.get_user(), Some("cl@inic"));
    assert_eq!(url.config.get_password(), Some(b"p:ss w%rd".as_slice()));
    assert_eq!(url.config.get_hosts(), [tcp("db.example")]);
    assert_eq!(url.config.get_ports(), [6000]);
    assert_eq!(url.config.get_dbname(), Some("patients"));
    assert_eq!(url.config.get_application_name(), Some("a+b"));
    assert_eq!(url.config.get_options(), Some("-c jit=off"));
}

#[test]
fn a_list_says_the_same_with_quotes_and_backslashes() {
    let list = parsed(r"host='/srv/our @ data/run' user = cl\'inic  password='it\'s a \\' dbname=x");

    assert_eq!(list.config.get_hosts(), [Host::Unix(PathBuf::from("/srv/our @ data/run"))]);
    assert_eq!(list.config.get_user(), Some("cl'inic"));
    assert_eq!(list.config.get_password(), Some(br"it's a \".as_slice()));
    assert_eq!(list.config.get_dbname(), Some("x"));
}

#[test]
fn a_url_reaches_a_socket_either_way() {
    for text in ["postgres://%2Frun%2Fpg/x", "postgres:///x?host=/run/pg"] {
        assert_eq!(parsed(text).config.get_hosts(), [Host::Unix(PathBuf::from("/run/pg"))], "{text}");
    }
}

#[test]
fn a_later_setting_replaces_an_earlier_one_and_an_empty_one_is_none() {
    let url = parsed("postgres://first:6000/x?host=second&port=&password=");
    assert_eq!(url.config.get_hosts(), [tcp("second")]);
    assert_eq!(url.config.get_ports(), [5432]);
    assert_eq!(url.config.get_password(), None);
}

#[test]
fn several_hosts_keep_their_order_and_ports() {
    let url = parsed("postgresql://a,b:6000,[::1]:6001/x?target_session_attrs=read-write&load_balance_hosts=random");
    assert_eq!(url.config.get_hosts(), [tcp("a"), tcp("b"), tcp("::1")]);
    assert_eq!(url.config.get_ports(), [5432, 6000, 6001]);
    assert_eq!(url.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(url.config.get_load_balance_hosts(), LoadBalanceHosts::Random);

    let list = parsed("host=a,b port=6000 hostaddr=10.0.0.1,10.0.0.2 target_session_attrs=read-only");
    assert_eq!(list.config.get_hosts(), [tcp("a"), tcp("b")]);
    assert_eq!(list.config.get_ports(), [6000]);
    assert_eq!(list.config.get_hostaddrs().len(), 2);
    assert_eq!(list.config.get_target_session_attrs(), TargetSessionAttrs::ReadOnly);
}

#[test]
fn an_address_alone_is_its_own_name() {
    let list = parsed("hostaddr=127.0.0.1");
    assert_eq!(list.config.get_hosts(), [tcp("127.0.0.1")]);
    assert_eq!(list.config.get_hostaddrs(), [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
}

#[test]
fn patience_has_defaults_units_and_an_end() {
    let config = parsed("host=db").config;
    assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(4)));
    assert_eq!(config.get_keepalives_idle(), Duration::from_secs(2));
    assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(1)));
    assert_eq!(config.get_keepalives_retries(), Some(2));
    assert!(config.get_keepalives());
    assert_eq!(config.get_application_name(), Some("healthcare-backend"));

    let config =
        parsed("host=db connect_timeout=7 tcp_user_timeout=1500 keepalives_idle=60 keepalives_count=9 keepalives=0")
            .config;
    assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(7)));
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
    assert_eq!(config.get_keepalives_idle(), Duration::from_secs(60));
    assert_eq!(config.get_keepalives_retries(), Some(9));
    assert!(!config.get_keepalives());

    let config = parsed("host=db connect_timeout=0 tcp_user_timeout=0").config;
    assert_eq!((config.get_connect_timeout(), config.get_tcp_user_timeout()), (None, None));
}

#[test]
fn the_mode_is_what_libpq_concludes() {
    let mode = |text: &str| {
        let url = parsed(text);
        (url.sslmode, url.config.get_ssl_mode())
    };
    assert_eq!(mode("host=db"), (SslMode::Prefer, DriverSslMode::Prefer));
    assert_eq!(mode("host=db sslmode=disable"), (SslMode::Disable, DriverSslMode::Disable));
    assert_eq!(mode("host=db sslmode=require"), (SslMode::Require, DriverSslMode::Require));
    assert_eq!(mode("postgres://db?ssl=true"), (SslMode::Require, DriverSslMode::Require));
    assert_eq!(mode("host=/run/pg sslmode=verify-full"), (SslMode::Disable, DriverSslMode::Disable));
    assert_eq!(mode("host=/run/pg,db"), (SslMode::Prefer, DriverSslMode::Prefer));
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    let cases = [
        ("", "`host`: missing"),
        ("user=x", "`host`: missing"),
        ("postgres:///x", "`host`: missing"),
        ("localhost", "not a postgres:// URL"),
        ("host=db password=two words", "not name=value"),
        ("host='db", "`host`: the closing '"),
        ("host=a,,b", "`host`: must be"),
        ("host=db sslmode=allow", "`sslmode`: allow is not supported"),
        ("host=db sslmode=full", "`sslmode`: must be disable, prefer, require, verify-ca or verify-full"),
        ("host=db sslmode=verify-ca", "`sslrootcert`: sslmode=verify-ca needs it"),
        ("host=db sslmode=verify-full", "`sslrootcert`: sslmode=verify-full needs it"),
        ("host=db sslmode=require sslrootcert=/no/such.pem", "`sslrootcert`: /no/such.pem: "),
        ("host=db sslmode=require sslrootcert=/dev/null", "`sslrootcert`: /dev/null: holds no PEM certificate"),
        ("host=db sslmode=require sslrootcert=system", "`sslrootcert`: system needs sslmode=verify-full, not require"),
        ("host=/run/pg,db sslmode=require", "`host`: a socket's directory beside other hosts"),
        ("host=db target_session_attrs=primary", "`target_session_attrs`: must be one of any, read-write, read-only"),
        ("host=db target_session_attrs=prefer-standby", "(others are not supported)"),
        ("host=db channel_binding=maybe", "`channel_binding`: must be one of disable, prefer, require"),
        ("host=db gssencmode=require", "`gssencmode`: must be one of"),
        ("host=db port=0", "`port`: must be a number from 1 to 65535"),
        ("host=a,b port=1,2,3", "`port`: must be one number, or as many as there are hosts"),
        ("host=a,b hostaddr=127.0.0.1", "`hostaddr`: must be as many addresses"),
        ("host=a hostaddr=b", "`hostaddr`: must be IP addresses"),
        ("host=db connect_timeout=soon", "`connect_timeout`: must be a whole number of seconds"),
        ("host=db tcp_user_timeout=2s", "`tcp_user_timeout`: must be a whole number of milliseconds"),
        ("host=db keepalives=on", "`keepalives`: must be a whole number"),
        ("host=db sslcert=/x", "`sslcert`: no such parameter"),
        ("postgres://db/x?pgbouncer=true", "`pgbouncer`: no such parameter"),
        ("postgres://db/x?sslmode", "has no `=`"),
        ("postgres://[::1/x", "`host`: an IPv6 address"),
        ("postgres://2001:db8::1/x", "`port`: must be a number"),
        ("postgres://u:%zz@db", "`password`: a `%` must begin"),
        ("postgres://u:%00@db", "`password`: a `%` must begin"),
    ];
    for (text, expected) in cases {
        let error = refused(text);
        assert!(error.contains(expected) && !error.contains('\n'), "{text}: {error}");
    }
}

#[test]
fn a_password_that_was_not_escaped_is_not_in_the_error() {
    for text in [
        "postgres://u:sec@ret@db/x",
        "postgres://u:sec/ret@db/x",
        "postgres://u:sec/?ret=ret@db/x",
        "postgres://u:/sec@ret:1@db",
        "postgres://u:sec%ret@db/x",
        "host=db password=s ret ret",
        "host=db password='ret",
        "host=db password=s Ret=1",
    ] {
        let error = refused(text);
        assert!(
            !error.to_lowercase().contains("ret ") && !error.contains("sec") && !error.contains("Ret"),
            "{text}: {error}"
        );
    }
}

#[test]
fn only_a_way_to_another_machine_is_warned_of() {
    for text in [
        "host=/run/pg",
        "host=localhost",
        "postgres://127.0.0.1,[::1]/x?sslmode=disable",
        "host=db.example hostaddr=127.0.0.1",
        "host=db.example sslmode=require channel_binding=require",
    ] {
        assert_eq!(parsed(text).warnings(), Vec::<String>::new(), "{text}");
    }
    for (text, expected) in [
        (
            "host=localhost,db.example sslmode=disable",
            "on db.example is not encrypted (sslmode=disable): set sslmode=verify-full",
        ),
        ("host=10.0.0.7,db.example", "on 10.0.0.7, db.example is encrypted only if"),
        ("host=localhost hostaddr=10.0.0.7 sslmode=require", "the identity of the server is not verified"),
    ] {
        let warnings = parsed(text).warnings();
        assert!(warnings.len() == 1 && warnings[0].contains(expected), "{text}: {warnings:?}");
    }
}

#[test]
fn the_masked_line_tells_everything_but_the_password() {
    let url = parsed("postgres://clinic:s3cret@a,b:6000/my%20data?target_session_attrs=read-write&sslmode=require");
    assert_eq!(
        url.masked(),
        "host=a,b port=5432,6000 dbname='my data' user=clinic password=*** sslmode=require target_session_attrs=read-write"
    );
    assert!(!format!("{url:?}").contains("s3cret"));
    assert_eq!(parsed("host='/run/p\ng'").masked(), r"host='/run/p\ng' port=5432 sslmode=disable");
}

#[test]
fn a_machine_that_is_off_is_tried_last_the_next_time() {
    static TRIES: AtomicUsize = AtomicUsize::new(0);
    // What the kernel says of a machine that nobody hears, and after how long.
    let open: Opening<()> = |config, _| match config.get_hosts() {
        [Host::Tcp(name)] if name == "off" => {
            TRIES.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1100));
            Err(ConnectError::from_io(ErrorKind::HostUnreachable.into()))
        }
        _ => Ok(((), None)),
    };
    let url = parsed("host=off,on");
    for _ in 0..3 {
        url.open(open).expect("a connection to the other");
    }
    assert_eq!(TRIES.load(Ordering::Relaxed), 1);
}

proptest! {
    #[test]
    fn an_escaped_password_comes_through_and_never_out_again(password in "\\PC{1,20}") {
        let encoded: String = password.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let quoted = password.replace('\\', r"\\").replace('\'', r"\'");
        for text in [format!("postgres://u:{encoded}@db/x"), format!("host=db password='{quoted}' user=u")] {
            let url = parsed(&text);
            prop_assert_eq!(url.config.get_password(), Some(password.as_bytes()));
            prop_assert!(url.masked().contains("password=*** "));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "(postgres://)?[a-c:@/?&=%,'\\\\\\[\\] é0-9]{0,40}") {
        let _ = DatabaseUrl::parse(&text);
    }
}

#[test]
fn a_certificates_fields_are_found_and_nothing_else_makes_it_panic() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
    let der = certificate.der().as_ref();

    let fields = certificate::fields(der).expect("the fields");
    assert!(fields.names_itself);
    assert_eq!(fields.signature_algorithm, [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 2], "ECDSA with SHA-256");
    assert!(fields.public_key.ends_with(key.public_key_raw()));
    for end in 0..der.len() {
        assert!(certificate::fields(&der[..end]).is_none(), "cut at {end}");
    }
    assert!(certificate::fields(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]).is_none());
}
