//! What a request may carry: content types, JSON and its pitfalls, unknown fields, sizes.

use serde_json::{Value, json};

use super::{World, check, named, plain_routes, routes_with_fields};
use crate::harness::TestApp;
use crate::harness::app::{PASSWORD, Person};
use crate::harness::http::{self, Answer};

/// Sends these bytes as JSON.
fn send_bytes(person: &Person, method: &str, target: &str, body: &[u8]) -> Answer {
    let token = person.token.as_deref().unwrap_or_default();
    let mut bytes = format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    let answer = http::raw(person.address, &bytes, false);
    check(&answer);
    answer
}

#[test]
fn an_unknown_field_is_named_on_every_route_that_takes_a_body() {
    let app = TestApp::start();
    let world = World::new(&app, "fields");
    for route in routes_with_fields() {
        let person = world.welcome(route);
        let mut body = world.body(route, person).expect("a body");
        body["surprise"] = json!(null);
        let answer = person.send(route.method.name(), &world.target(route), &[], Some(body)).expect(400, "invalid");
        check(&answer);
        assert_eq!(answer.fields(), ["surprise"], "{}", named(route));
    }
}

#[test]
fn a_body_where_none_is_expected_is_judged_like_any_other() {
    let app = TestApp::start();
    let world = World::new(&app, "bare");
    for route in plain_routes().filter(|route| !route.has_fields) {
        let (person, target) = (world.welcome(route), world.target(route));
        let answer = person.send(route.method.name(), &target, &[], Some(json!({ "surprise": 1 })));
        assert_eq!(answer.expect(400, "invalid").fields(), ["surprise"], "{}", named(route));
        let plain = [("Content-Type", "text/plain")];
        person.send(route.method.name(), &target, &plain, Some(json!({}))).expect(415, "invalid");
        assert_eq!(send_bytes(person, route.method.name(), &target, b"{").status, 400, "{}", named(route));
    }
    // An empty object is allowed.
    world.owner.send("GET", "/api/auth/me", &[], Some(json!({}))).expect(200, "success");
    world.owner.post("/api/auth/logout", json!({})).expect(200, "success");
}

#[test]
fn only_application_json_is_read_with_any_charset() {
    let app = TestApp::start();
    let world = World::new(&app, "types");
    for route in routes_with_fields() {
        let (person, target) = (world.welcome(route), world.target(route));
        let body = world.body(route, person);
        for bad in
            ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/merge-patch+json", ""]
        {
            let answer = person.send(route.method.name(), &target, &[("Content-Type", bad)], body.clone());
            check(&answer);
            assert_eq!(answer.status, 415, "{} with {bad}", named(route));
        }
        let encoded = [("Content-Encoding", "gzip")];
        check(&person.send(route.method.name(), &target, &encoded, body).expect(415, "invalid"));
    }
    let owner = &world.owner;
    let body = || Some(json!({ "name": "D", "specialization": "S" }));
    let all = [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON;charset=\"UTF-8\"",
        "application/json ; x=y",
    ];
    for good in all {
        owner.send("POST", "/api/doctors", &[("Content-Type", good)], body()).expect(201, "created");
    }
    owner.send("POST", "/api/doctors", &[("Content-Encoding", "identity")], body()).expect(201, "created");
    owner.send("POST", "/api/doctors", &[("Content-Encoding", "identity, gzip")], body()).expect(415, "invalid");
    // No type at all is not JSON either; but without a body there is nothing to have a type.
    let text = body().map(|body| body.to_string());
    let authorization = format!("Bearer {}", owner.token.as_deref().unwrap_or_default());
    let headers = [("Authorization", authorization.as_str())];
    http::send(app.address, "POST", "/api/doctors", &headers, text.as_deref()).expect(415, "invalid");
    http::send(app.address, "POST", "/api/doctors", &headers, None).expect(400, "invalid");
    owner.send("GET", "/api/doctors", &[("Content-Type", "text/plain")], None).expect(200, "success");
}

#[test]
fn a_body_that_is_not_one_json_object_is_invalid_and_quoted_nowhere() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let deep = |open: &str, close: &str| format!("{{\"name\":{}1{}}}", open.repeat(10_000), close.repeat(10_000));
    let texts: Vec<Vec<u8>> = [
        "",
        " \r\n\t ",
        "[]",
        "[{}]",
        "\"text\"",
        "5",
        "null",
        "true",
        "{",
        "}",
        "{}{}",
        "{} x",
        "{},",
        "{\"name\"}",
        "{\"name\":}",
        "{\"name\":\"a\",}",
        "{'name':'a'}",
        "{name:\"a\"}",
        "{\"name\":NaN}",
        "{\"name\":Infinity}",
        "{\"name\":\"a\"} // secret",
        "{\"name\":\"\\ud800\"}",
        "{\"name\":\"\\udc00\\ud800\"}",
        "{\"name\":\"\\x41\"}",
        "{\"name\":\"line\nbreak\"}",
        "{\"name\":01}",
        "{\"name\":+1}",
        "{\"name\":1.}",
        "{\"name\":.5}",
        "{\"name\":1e}",
        "{\"years_of_experience\":1e999}",
        "{\"\\ud800\":1}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([
        b"\xEF\xBB\xBF{}".to_vec(),
        b"{\"name\":\"\xff\xfe\"}".to_vec(),
        b"{\"name\":\"\xc0\x80\"}".to_vec(),
        b"{\"name\":\"\xed\xa0\x80\"}".to_vec(),
        b"\xff\xfe{\0}\0".to_vec(),
        b"{\"name\":\"a\0b\"}".to_vec(),
        deep("[", "]").into_bytes(),
        deep("{\"a\":", "}").into_bytes(),
        "[".repeat(200_000).into_bytes(),
    ])
    .collect();
    for text in texts {
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).to_string();
        for (method, target) in
            [("POST", "/api/doctors"), ("PATCH", "/api/doctors/999999999"), ("POST", "/api/auth/login")]
        {
            let answer = send_bytes(&ann, method, target, &text);
            assert_eq!((answer.status, answer.json()["status"].as_str()), (400, Some("invalid")), "{method} {shown}");
            assert_eq!(answer.fields(), ["body"], "{method} {shown}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
        }
    }
    assert!(ann.get("/api/doctors").expect(200, "success").ids().is_empty());
}

#[test]
fn a_value_of_the_wrong_type_names_its_field() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let doctor = |field: &str, value: &str| {
        let body = format!("{{\"name\":\"D\",\"specialization\":\"S\",\"{field}\":{value}}}");
        send_bytes(&ann, "POST", "/api/doctors", body.as_bytes())
    };
    let numbers = [
        "5.0",
        "5e0",
        "0.5",
        "-1",
        "81",
        "\"5\"",
        "true",
        "[5]",
        "{}",
        "9223372036854775808",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "1e30",
        "-0.0",
    ];
    for value in numbers {
        let answer = doctor("years_of_experience", value).expect(400, "invalid");
        assert_eq!(answer.fields(), ["years_of_experience"], "{value}");
    }
    for value in ["0", "-0", "80", "null"] {
        let status = doctor("years_of_experience", value).status;
        assert!(status == 201 || value == "-0" && status == 400, "{value}: {status}");
    }
    for value in ["5", "true", "[]", "{}", "[\"a\"]", "1.5"] {
        assert_eq!(doctor("phone", value).expect(400, "invalid").fields(), ["phone"], "{value}");
    }
    for value in ["0", "-1", "1.0", "9223372036854775808", "\"1\"", "true"] {
        let body = format!("{{\"patient_id\":{value},\"doctor_id\":{value}}}");
        let answer = send_bytes(&ann, "POST", "/api/mappings", body.as_bytes()).expect(400, "invalid");
        assert_eq!(answer.fields(), ["patient_id", "doctor_id"], "{value}");
    }
}

#[test]
fn a_repeated_key_is_named_even_with_the_same_value() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    for body in [
        r#"{"name":"D","name":"D","specialization":"S"}"#,
        r#"{"name":"D","specialization":"S","n\u0061me":"E","name":"F"}"#,
        r#"{"name":null,"specialization":"S","name":"D"}"#,
    ] {
        let answer = send_bytes(&ann, "POST", "/api/doctors", body.as_bytes()).expect(400, "invalid");
        assert_eq!(answer.fields(), ["name"], "{body}");
    }
    let login = r#"{"email":"ann@example.org","password":"wrong","password":"correct horse battery"}"#;
    let answer = send_bytes(&app.anyone(), "POST", "/api/auth/login", login.as_bytes()).expect(400, "invalid");
    assert_eq!(answer.fields(), ["password"]);
    // Inside of a value that is refused anyway, too.
    let nested = r#"{"name":{"a":1,"a":2},"specialization":"S"}"#;
    assert_eq!(send_bytes(&ann, "POST", "/api/doctors", nested.as_bytes()).expect(400, "invalid").fields(), ["name"]);
}

#[test]
fn strings_are_trimmed_and_control_characters_refused() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let with_name = |name: &str| ann.post("/api/doctors", json!({ "name": name, "specialization": "S" }));
    for (sent, stored) in [
        (" A \t\r\n", "A"),
        ("\u{a0}\u{2003}B\u{3000}", "B"),
        ("C  D", "C  D"),
        ("\u{1f468}\u{200d}\u{1f469}", "\u{1f468}\u{200d}\u{1f469}"),
    ] {
        assert_eq!(with_name(sent).expect(201, "created").data()["name"], stored);
    }
    for blank in ["", " ", "\t\n", "\u{a0}"] {
        assert_eq!(with_name(blank).expect(400, "incomplete").fields(), ["name"]);
    }
    for bad in ["a\0b", "a\u{7}b", "a\nb", "a\tb", "a\u{7f}b", "a\u{85}b", "a\u{9b}b"] {
        assert_eq!(with_name(bad).expect(400, "invalid").fields(), ["name"], "{bad:?}");
    }
    // A key may be anything, and comes back escaped and cut.
    let long = format!("<b>\"\u{0}{}", "k".repeat(500));
    let answer = ann.post("/api/doctors", json!({ "name": "D", "specialization": "S", long.clone(): 1 }));
    let fields = answer.expect(400, "invalid").fields();
    assert!(long.starts_with(&fields[0]) && fields[0].chars().count() <= 64, "{fields:?}");
}

/// A line of text looks like something, and like itself: not empty, not backwards.
#[test]
fn a_line_that_cannot_be_seen_or_changes_its_direction_is_refused_in_every_such_field() {
    let app = TestApp::start();
    let world = World::new(&app, "invisible");
    let invisible = [
        "\u{200b}",
        "\u{200d}\u{200c}",
        "\u{2060}\u{feff}",
        "\u{ad}",
        "\u{34f}",
        "\u{115f}",
        "\u{1160}",
        "\u{3164}",
        "\u{ffa0}",
        "\u{2800}",
        "\u{180e}",
        "\u{2062}",
        "\u{fe0f}",
        "\u{fff9}\u{fffb}",
        "\u{1d173}",
        "\u{e0001}\u{e0061}\u{e007f}",
        "\u{200b} \u{a0}\u{200b}",
        "\u{301}",
        "\u{300}\u{36f} \u{1ab0}\u{1dc0}\u{20d0}\u{fe20}",
    ];
    let turned = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    let turned = turned.chars().flat_map(|control| [control.to_string(), format!("Ann{control}eel")]);
    let broken = ["Ann\u{2028}eel".to_string(), "Ann\u{2029}eel".to_string()];
    let refused: Vec<String> = invisible.into_iter().map(str::to_string).chain(turned).chain(broken).collect();
    let welcome = [
        "Zoë",
        "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}", // Persian, with a non-joiner
        "\u{dc1}\u{dca}\u{200d}\u{dbb}\u{dd3}",                      // Sinhala, with a joiner
        "\u{5d0}\u{5d1}\u{5e8}\u{5d4}\u{5dd}",
        "\u{1f468}\u{200d}\u{2695}\u{fe0f}",
        "\u{ae40}",
        "A",
    ];
    let patient = json!({ "name": "P", "date_of_birth": "1990-04-23", "gender": "other" });
    let doctor = json!({ "name": "D", "specialization": "S" });
    let user = json!({ "name": "U", "email": "new@example.org", "password": PASSWORD });
    for (path, body, field) in [
        ("/api/auth/register", &user, "name"),
        ("/api/patients", &patient, "name"),
        ("/api/doctors", &doctor, "name"),
        ("/api/doctors", &doctor, "specialization"),
        ("/api/doctors", &doctor, "license_number"),
    ] {
        for text in &refused {
            let mut body = body.clone();
            body[field] = json!(text);
            let answer = world.owner.post(path, body.clone()).expect(400, "invalid");
            assert_eq!(answer.fields(), [field], "{path} {text:?}");
        }
        for (number, text) in welcome.iter().enumerate() {
            // A joiner belongs between the letters of a name, not into a licence number.
            if field == "license_number" && text.contains(['\u{200c}', '\u{200d}', '\u{fe0f}']) {
                continue;
            }
            let mut body = body.clone();
            body[field] = json!(text);
            if path == "/api/auth/register" {
                body["email"] = json!(format!("new{number}@example.org"));
            }
            let answer = world.owner.post(path, body.clone()).expect(201, "created");
            assert_eq!(answer.data()[field], *text, "{path}");
        }
    }
    // Where a text has lines, its direction is its own business; and what is refused may still be looked for.
    let notes = json!({ "medical_history": "\u{2067}\u{5d0}\u{2069} 5 mg" });
    world.owner.patch(&format!("/api/patients/{}", world.patient_id), notes).expect(200, "updated");
    assert!(world.owner.get("/api/patients?name=%E2%80%AE").expect(200, "success").ids().is_empty());
}

#[test]
fn the_read_only_fields_of_a_record_are_accepted_and_ignored() {
    let app = TestApp::start();
    let world = World::new(&app, "read-only");
    let paths = [
        format!("/api/patients/{}", world.patient_id),
        format!("/api/doctors/{}", world.doctor_id),
        format!("/api/admin/patients/{}", world.patient_id),
        format!("/api/admin/doctors/{}", world.doctor_id),
        format!("/api/admin/users/{}", world.user_id),
        "/api/auth/me".to_string(),
    ];
    for path in paths {
        let person = if path.contains("admin") { &world.admin } else { &world.owner };
        let mut record = person.get(&path).expect(200, "success").data();
        let id = record["id"].clone();
        record["id"] = json!(1_000_000);
        record["created_at"] = json!("yesterday");
        let updated = person.put(&path, record).expect(200, "updated").data();
        assert_eq!(updated["id"], id);
        assert_ne!(updated["created_at"], "yesterday");
        // Without other fields they are named: the client asks for a change that cannot be made.
        let refused = person.patch(&path, json!({ "updated_at": null, "id": id })).expect(400, "invalid");
        assert_eq!(refused.fields(), ["id", "updated_at"]);
        for error in refused.data()["errors"].as_array().expect("errors") {
            assert_eq!(error["message"], "cannot be changed");
        }
    }
    let mapping = format!("/api/patients/{}/mappings/{}", world.patient_id, world.mapping_id);
    let record = world.owner.get(&mapping).expect(200, "success").data();
    let path = format!("/api/mappings/{}", world.mapping_id);
    assert_eq!(world.owner.put(&path, record.clone()).expect(200, "updated").data()["doctor"], record["doctor"]);
}

#[test]
fn a_field_of_a_user_that_an_admin_cannot_change_is_named() {
    let app = TestApp::start();
    let world = World::new(&app, "unchangeable");
    let path = format!("/api/admin/users/{}", world.user_id);
    let refused = world.admin.patch(&path, json!({ "name": "Other", "email": "other@example.org" }));
    let refused = refused.expect(400, "invalid");
    assert_eq!(refused.fields(), ["email", "name"]);
    let mixed = world.admin.patch(&path, json!({ "name": "Other", "surprise": 1 })).expect(400, "invalid");
    assert_eq!(mixed.fields(), ["surprise"]);
    world.admin.patch(&path, json!({ "name": "Other", "role": "user" })).expect(200, "updated");
}

#[test]
fn twenty_errors_are_named_and_the_others_counted_however_many_there_are() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let count = 20_000;
    let unknown = |text: &str| (0..count).map(|number| format!("\"{number}\":{text}")).collect::<Vec<_>>().join(",");
    let body = format!("{{{}}}", unknown("0"));
    for (method, target, also_missing) in [
        ("POST", "/api/auth/login", 2),
        ("POST", "/api/auth/register", 3),
        ("POST", "/api/doctors", 2),
        ("PATCH", "/api/doctors/999999999", 0),
        ("DELETE", "/api/doctors/999999999", 0),
        ("GET", "/healthz", 0),
    ] {
        let answer = send_bytes(&ann, method, target, body.as_bytes());
        assert_eq!((answer.status, answer.fields().len()), (400, 20), "{method} {target}");
        assert_eq!(answer.data()["more"], count + also_missing - 20, "{method} {target}");
        assert!(answer.body.len() < 2_000, "{} bytes", answer.body.len());
    }
    // Each key twice: as many repeated ones, all unknown.
    let twice = format!("{{{},{}}}", unknown("0"), unknown("1"));
    assert!(twice.len() < 700_000);
    let app = TestApp::with(|config| config.max_body_bytes = 700_000);
    let answer = send_bytes(&app.anyone(), "POST", "/api/auth/refresh", twice.as_bytes());
    assert_eq!(answer.data()["more"], 2 * count + 1 - 20);
    // Exactly twenty leave nothing to count.
    let query = |count: usize| (0..count).map(|number| format!("q{number}=1")).collect::<Vec<_>>().join("&");
    let ann = app.signed_up("ann");
    let answer = ann.get(&format!("/api/doctors?{}", query(20)));
    assert_eq!((answer.fields().len(), answer.data().get("more")), (20, None));
    let answer = ann.get(&format!("/api/doctors?{}", query(700)));
    assert_eq!((answer.fields().len(), answer.data()["more"].as_u64()), (20, Some(680)));
}

#[test]
fn the_rate_limit_counts_before_a_body_is_looked_at() {
    let app = TestApp::with(|config| config.auth_rate_per_minute = 1);
    for target in ["/api/auth/login", "/api/auth/register", "/api/auth/refresh"] {
        let answer = send_bytes(&app.anyone(), "POST", target, b"{\"a\":1,\"b\":2}");
        assert!(matches!(answer.status, 400 | 429), "{target}");
        assert_eq!(answer.status == 400, target == "/api/auth/login", "{target}");
    }
}

#[test]
fn a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
    let app = TestApp::with(|config| config.max_body_bytes = 1000);
    let ann = app.signed_up("ann");
    let of = |bytes: usize| {
        let body = r#"{"name":"D","specialization":"S"}"#;
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    let chunked = |bytes: usize| {
        let body = of(bytes);
        let (first, second) = body.split_at(400);
        let text = format!(
            "POST /api/doctors HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Type: \
             application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            ann.token.as_deref().unwrap_or_default(),
            first.len(),
            second.len()
        );
        http::raw(app.address, text.as_bytes(), false)
    };
    assert_eq!(send_bytes(&ann, "POST", "/api/doctors", of(1000).as_bytes()).status, 201);
    chunked(1000).expect(201, "created");
    for answer in [send_bytes(&ann, "POST", "/api/doctors", of(1001).as_bytes()), chunked(1001)] {
        check(&answer);
        let answer = answer.expect(413, "invalid");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    // A declared length beyond the limit is refused before the body is sent.
    let head = "POST /api/doctors HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999999999\r\n\r\n";
    http::raw(app.address, head.as_bytes(), false).expect(413, "invalid");
    assert_eq!(ann.get("/api/doctors").expect(200, "success").ids().len(), 2);
}

#[test]
fn out_of_the_box_a_body_may_have_256_kib() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let of = |bytes: usize| format!("{{\"name\":\"D\",\"specialization\":\"S\"{}}}", " ".repeat(bytes - 33));
    assert_eq!(of(262_144).len(), 262_144);
    assert_eq!(send_bytes(&ann, "POST", "/api/doctors", of(262_144).as_bytes()).status, 201);
    assert_eq!(send_bytes(&ann, "POST", "/api/doctors", of(262_145).as_bytes()).status, 413);
}

#[test]
fn null_for_a_required_field_is_incomplete_and_clears_an_optional_one() {
    let app = TestApp::start();
    let world = World::new(&app, "null");
    for route in routes_with_fields() {
        let person = world.welcome(route);
        let body = world.body(route, person).expect("a body");
        let mut nulls = serde_json::Map::new();
        for (field, _) in body.as_object().expect("an object") {
            nulls.insert(field.clone(), Value::Null);
        }
        if route.pattern == "/api/mappings/{id}" {
            nulls = serde_json::Map::from_iter([("patient_id".to_string(), Value::Null)]);
        }
        let mut names: Vec<String> = nulls.keys().cloned().collect();
        let answer = person.send(route.method.name(), &world.target(route), &[], Some(Value::Object(nulls)));
        let mut fields = answer.expect(400, "incomplete").fields();
        names.sort();
        fields.sort();
        assert_eq!(fields, names, "{}", named(route));
    }
}
