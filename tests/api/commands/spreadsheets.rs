//! `import` and `export`: spreadsheets in and out.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;

use healthcare_backend::internals::Queries;
use healthcare_backend::internals::records::{DOCTOR, PATIENT};
use serde_json::{Value, json};

use crate::harness::binary::{Ended, Program};
use crate::harness::folder::Folder;
use crate::harness::{Person, TestApp, postgres};

const HEADER: &str = "name,date_of_birth,gender\n";

/// A service with one user, and a folder for files.
struct Clinic {
    app: TestApp,
    ann: Person,
    folder: Folder,
}

impl Clinic {
    fn open() -> Clinic {
        let app = TestApp::start();
        Clinic { ann: app.signed_up("ann"), app, folder: Folder::new() }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Program::on(&self.app.database, &self.folder, arguments).run("")
    }

    /// Imports a text for ann.
    fn import(&self, sheet: &str, text: impl AsRef<[u8]>, options: &[&str]) -> Ended {
        fs::write(self.folder.path().join("in.csv"), text).expect("a file");
        self.run(&[&["import", sheet, "--owner", "ann@example.org", "in.csv"], options].concat())
    }

    fn count(&self, what: &str) -> i64 {
        let sql = match what {
            "patients" => "select count(*) from patients",
            "doctors" => "select count(*) from doctors",
            _ => "select count(*) from audit_entries where action = 'create' and resource in ('patient', 'doctor')",
        };
        self.app.sql().query_one(sql, &[]).expect("a count").get(0)
    }

    fn patients(&self) -> Vec<Value> {
        self.ann.get("/api/patients").expect(200, "success").data().as_array().expect("a list").clone()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
}

/// The most memory that it ever had, in MiB.
fn peak_memory(child: &Child) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

/// The lines on standard error that list lines of the file.
fn listed(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter(|line| line.starts_with("line ")).collect()
}

/// The records without what the server sets.
fn contents(person: &Person, path: &str) -> Vec<Value> {
    let mut records = person.get(path).expect(200, "success").data().as_array().expect("a list").clone();
    for record in &mut records {
        for field in ["id", "created_by", "created_at", "updated_at"] {
            record.as_object_mut().expect("a record").remove(field);
        }
    }
    records
}

#[test]
fn what_export_writes_import_reads_back_unchanged_and_the_api_gives_the_same() {
    let (one, other) = (Clinic::open(), Clinic::open());
    for (place, text) in [
        "=1+1",
        "'=x",
        "''-",
        "+x",
        "-",
        "@x",
        "'",
        "'t Hart",
        "a \"b\" c",
        "\"",
        "a,b;c",
        "Ångström 山田 العربية",
        "\u{1F469}\u{200D}\u{2695}",
        "'+'",
        "x\u{a0}y",
    ]
    .iter()
    .enumerate()
    {
        let lines = format!("{text}\r\n=2\n\t'-\ttab\r{text}\n\n\"");
        let day = format!("1990-04-{:02}", place + 1);
        one.ann
            .post(
                "/api/patients",
                json!({ "name": text, "date_of_birth": day, "gender": "other", "phone": "+49 30 1234567",
                        "address": lines, "medical_history": lines }),
            )
            .expect(201, "created");
        let license = (place % 2 == 0).then(|| format!("={place}"));
        one.ann
            .post(
                "/api/doctors",
                json!({ "name": text, "specialization": format!("{text};"), "license_number": license,
                        "years_of_experience": place, "email": "a+b@example.org" }),
            )
            .expect(201, "created");
    }
    one.ann.post("/api/patients", json!({ "name": "Nulls", "date_of_birth": "1870-01-01", "gender": "unknown" }));
    for (sheet, fields) in [("patients", PATIENT), ("doctors", DOCTOR)] {
        let ended = one.run(&["export", sheet, "out.csv"]);
        assert!(ended.said().starts_with("exported 1") && ended.said().ends_with(sheet), "{ended:?}");
        let mode = fs::metadata(one.path("out.csv")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(one.path("out.csv")).expect("UTF-8");
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        assert!(text.starts_with(&(names.join(",") + "\r\n")), "{text}");

        other.import(sheet, &text, &[]).said();
        let path = format!("/api/{sheet}");
        assert_eq!(contents(&one.ann, &path), contents(&other.ann, &path));
        // Nothing is run by a spreadsheet, and the second export is the first, but for what the server sets.
        for cell in text.split(['\n', ',']).map(|cell| cell.trim_start_matches('"')) {
            assert!(!cell.starts_with(['+', '@']), "{cell}");
        }
        // The list of the API is the same file.
        assert_eq!(text.as_bytes(), one.ann.send("GET", &path, &[("Accept", "text/csv")], None).body);
        let again = other.import(sheet, &text, &[]);
        assert!(again.said().starts_with(&format!("imported 0 {sheet} of ")), "{again:?}");
        fs::remove_file(one.path("out.csv")).expect("a file");
    }
}

#[test]
fn each_line_that_breaks_a_rule_is_listed_and_nothing_is_imported() {
    let clinic = Clinic::open();
    let text = "name,date_of_birth,gender,email,phone,address\n\
                Ann,1990-04-23,female,,,\"Main Street 1\n10115 Berlin\"\n\
                ,23.04.1990,woman,nope,12,x\n\
                Bob,1990-04-23,male,,\n\
                Cid,1990-04-23,male,,,,\n\
                \n\
                Dov,2999-01-01,male,,,\n\
                Eve\u{7},1990-02-30,other,,,\n";
    for option in [&[][..], &["--dry-run"]] {
        let ended = clinic.import("patients", text, option);
        assert_eq!(
            listed(&ended),
            [
                "line 4: name is required",
                "line 4: date_of_birth must be a date like 1990-04-23",
                "line 4: gender must be one of male, female, other, unknown",
                "line 4: phone must have at least 5 digits, may also have spaces and + - ( ) . /, and may end with an extension like x12",
                "line 4: email must be an e-mail address like name@example.org",
                "line 5: has 5 cells, but the header has 6",
                "line 6: has 7 cells, but the header has 6",
                "line 8: date_of_birth must not be in the future",
                "line 9: name must not contain control characters",
                "line 9: date_of_birth must be a date like 1990-04-23",
            ]
        );
        let problems = ended.problems(1);
        let was = if option.is_empty() { "was" } else { "would be" };
        assert_eq!(problems, [format!("nothing {was} imported, because 5 of 6 lines break a rule")]);
        assert_eq!((clinic.count("patients"), clinic.count("entries")), (0, 0));
    }
    let doctors = "name,specialization,years_of_experience\nD,S,12\nD2,S,12.0\nD3,S,81\nD4,,0\n";
    let ended = clinic.import("doctors", doctors, &[]);
    let rule = "years_of_experience must be a whole number from 0 to 80";
    assert_eq!(
        listed(&ended),
        [&format!("line 3: {rule}"), &format!("line 4: {rule}"), "line 5: specialization is required"]
    );
    ended.problems(1);
    assert_eq!(clinic.count("doctors"), 0);
}

#[test]
fn quotes_and_letters_that_are_not_in_order_are_refused() {
    let clinic = Clinic::open();
    let mut text = format!("{HEADER}Ann,1990-04-23,female\n\"O\"Neill,1990-04-23,male\nM").into_bytes();
    text.extend_from_slice(b"\xfcller,1990-04-23,male\n\"open,1990-04-23,male\n");
    let ended = clinic.import("patients", text, &[]);
    let listed = listed(&ended);
    assert!(listed[0].starts_with("line 3: has text behind a closing quote"), "{ended:?}");
    assert_eq!(listed[1], "line 4: is not UTF-8 text: save the file as CSV UTF-8");
    assert_eq!(listed[2], "line 5: has a quote that is not closed");
    assert!(ended.problems(1)[0].contains("3 of 4 lines"), "{ended:?}");
    let utf_16: Vec<u8> = "\u{feff}name,gender\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(clinic.import("patients", utf_16, &[]).problem(1).contains("save the file as CSV UTF-8"));
    assert_eq!(clinic.count("patients"), 0);
}

#[test]
fn a_hundred_lines_are_listed_at_most() {
    let clinic = Clinic::open();
    let ended = clinic.import("patients", HEADER.to_string() + &"A,x,male\n".repeat(150), &[]);
    assert_eq!(listed(&ended).len(), 100);
    let sums = "nothing was imported, because 150 of 150 lines break a rule (the first 100 of 150 are listed)";
    assert_eq!(ended.problems(1), [sums]);
    let text = HEADER.to_string() + &"A,1990-04-23,male\n".repeat(1_201);
    let ended = clinic.import("patients", text, &[]);
    assert_eq!(listed(&ended).len(), 100);
    assert!(ended.said().contains("imported 1 patients of 1201 lines"), "{ended:?}");
    assert!(ended.said().ends_with("possible duplicates that are skipped: 1200 (the first 100 of 1200 are listed)"));
}

#[test]
fn separators_byte_order_marks_and_names_of_columns_are_those_of_spreadsheets() {
    let clinic = Clinic::open();
    for (place, (text, options)) in [
        ("\u{feff}name;date_of_birth;gender;address\r\n\"A;0\";1990-04-23;male;\"x, y, z\"\r\n\r\n;;;\r\n", &[][..]),
        ("name\tdate_of_birth\tgender\taddress\nA,1\t1990-04-23\tmale\tx, y, z\n", &[]),
        ("\n\nname,date_of_birth,gender,address\n 'A;2 , 1990-04-23 ,male,\"x, y, z\"", &[]),
        (
            "Full name;Date of birth;gender;address;Remarks;=;id;created_by\nA 3;1990-04-23;male;\"x, y, z\";secret;no;77;77\n",
            &["--map", "Full name=name", "--map", "Date of birth = date_of_birth", "--map", "Remarks=", "--map", "=="],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let ended = clinic.import("patients", text, options);
        assert_eq!(ended.said(), "imported 1 patients of 1 lines for ann@example.org");
        let patient = clinic.patients().pop().expect("a patient");
        assert!(patient["name"].as_str().expect("a name").ends_with(&place.to_string()), "{patient}");
        assert_eq!((&patient["address"], &patient["date_of_birth"]), (&json!("x, y, z"), &json!("1990-04-23")));
        assert_eq!((&patient["created_by"], &patient["phone"]), (&json!(clinic.ann.id), &json!(null)));
        assert_ne!(patient["id"], 77);
    }
}

#[test]
fn a_header_that_does_not_fit_is_one_line_and_nothing_is_written() {
    let clinic = Clinic::open();
    let line = "A,1990-04-23,male,x\n";
    for (header, options, named) in [
        ("name,date_of_birth,gender,Remarks", &[][..], "\"Remarks\""),
        ("Name,date_of_birth,gender,phone", &[], "\"Name\""),
        ("name,date_of_birth,gender,", &[], "\"\""),
        ("name,date_of_birth,gender,name", &[], "two columns of the file are the field name"),
        ("name,date_of_birth,gender,x", &["--map", "x=gender"], "two columns of the file are the field gender"),
        ("name,date_of_birth,gender,x", &["--map", "y=phone", "--map", "x="], "\"y\""),
        ("name,date_of_birth,gender,x", &["--map", "x=remarks"], "\"remarks\""),
        ("name,date_of_birth,gender,x", &["--map", "x=id"], "\"id\""),
        ("name,date_of_birth,gender,x", &["--map", "x=phone", "--map", "x="], "twice"),
        ("name,date_of_birth,phone,email", &[], "no column for gender"),
        ("name,date_of_birth,gender,phone", &["--map", "gender="], "no column for gender"),
    ] {
        let ended = clinic.import("patients", format!("{header}\n{line}"), options);
        assert!(ended.problem(1).contains(named), "{header}: {ended:?}");
    }
    for text in ["", "\n\n", "\u{feff}"] {
        assert!(clinic.import("patients", text, &[]).problem(1).contains("no header"), "{text:?}");
    }
    assert!(
        clinic.run(&["import", "patients", "--owner", "ann@example.org", "none.csv"]).problem(1).contains("none.csv")
    );
    let ended = clinic.run(&["import", "patients", "--owner", "bob@example.org", "in.csv"]);
    assert!(ended.problem(1).contains("no header"), "{ended:?}");
    clinic.folder.write("good.csv", &format!("{HEADER}A,1990-04-23,male\n"));
    let ended = clinic.run(&["import", "patients", "--owner", "bob@example.org", "good.csv"]);
    assert_eq!(ended.problem(1), "there is no user with the e-mail bob@example.org");
    assert_eq!(clinic.count("patients"), 0);
    // The header alone is a table without lines.
    assert!(clinic.import("patients", HEADER, &[]).said().starts_with("imported 0 patients of 0 lines"));
}

#[test]
fn possible_duplicates_are_listed_and_skipped_unless_they_are_allowed() {
    let clinic = Clinic::open();
    let bob = clinic.app.signed_up("bob");
    let known = clinic.ann.new_patient("Zoë Müller");
    bob.new_patient("Only Bob's");
    let born = clinic.patients()[0]["date_of_birth"].as_str().expect("a date").to_string();
    let text = format!(
        "{HEADER} zoë müller ,{born},male\nZoë Müller,1950-01-01,male\nZOË MÜLLER,1950-01-01,other\nOnly Bob's,{born},male\nZoe Muller,{born},male\n\
         Zoe\u{308} Mu\u{308}ller,{born},male\nZOE\u{308} MU\u{308}LLER,1950-01-01,male\n"
    );
    for option in [&["--dry-run"][..], &[]] {
        let ended = clinic.import("patients", &text, option);
        let expected = [
            format!("line 2: possible duplicate of the one with the id {known}"),
            "line 4: possible duplicate of an earlier line".to_string(),
            format!("line 7: possible duplicate of the one with the id {known}"),
            "line 8: possible duplicate of an earlier line".to_string(),
        ];
        assert_eq!(listed(&ended), expected);
        let imported = if option.is_empty() { "imported" } else { "would import" };
        let sums = "3 patients of 7 lines for ann@example.org; possible duplicates that are skipped: 4";
        assert_eq!(ended.said(), format!("{imported} {sums}"));
        assert_eq!(clinic.count("patients"), if option.is_empty() { 5 } else { 2 });
    }
    let ended = clinic.import("patients", &text, &["--allow-duplicates"]);
    assert_eq!((ended.said(), listed(&ended).len()), ("imported 7 patients of 7 lines for ann@example.org", 0));
    assert_eq!(clinic.count("patients"), 12);
    let entries = clinic.app.audited("create");
    let patients: Vec<&Value> = entries.iter().filter(|entry| entry["resource"] == "patient").collect();
    let imported = patients.iter().filter(|entry| entry["actor_id"] == clinic.ann.id && entry["ip"].is_null());
    assert_eq!((patients.len(), imported.count()), (12, 10));
}

#[test]
fn a_doctor_is_known_by_the_licence_number_or_by_name_and_specialization() {
    let clinic = Clinic::open();
    let bob = clinic.app.signed_up("bob");
    let doctor = |name: &str, license: Value| {
        let body = json!({ "name": name, "specialization": "Cardiology", "license_number": license });
        bob.post("/api/doctors", body).expect(201, "created").id()
    };
    let (licensed, plain) = (doctor("Dr. A", json!("L-1")), doctor("Dr. B", json!(null)));
    let accented = doctor("Dr. Zo\u{eb}", json!(null));
    let text = "name,specialization,license_number\n\
                Somebody,Surgery,L-1\n\
                dr. b,CARDIOLOGY,\n\
                Dr. B,Surgery,\n\
                Dr. B,Surgery,\n\
                Dr. B,Cardiology,L-2\n\
                Dr. C,Surgery,L-2\n\
                Dr. Zoe\u{308},Cardiology,\n";
    let ended = clinic.import("doctors", text, &[]);
    let expected = [
        format!("line 2: possible duplicate of the one with the id {licensed}"),
        format!("line 3: possible duplicate of the one with the id {plain}"),
        "line 5: possible duplicate of an earlier line".to_string(),
        "line 7: possible duplicate of an earlier line".to_string(),
        format!("line 8: possible duplicate of the one with the id {accented}"),
    ];
    assert_eq!(listed(&ended), expected);
    assert!(ended.said().starts_with("imported 2 doctors of 7 lines"), "{ended:?}");
    // Two doctors never have one licence number.
    let ended = clinic.import("doctors", text, &["--allow-duplicates"]);
    let taken = "license_number is that of another doctor";
    assert_eq!(listed(&ended), [2, 6, 7].map(|line| format!("line {line}: {taken}")));
    assert_eq!(ended.problems(1), ["nothing was imported, because 3 of 7 lines break a rule"]);
    assert_eq!(clinic.count("doctors"), 5);
}

#[test]
fn a_dash_is_the_standard_stream() {
    let clinic = Clinic::open();
    let import = ["import", "patients", "-", "--owner", "ANN@example.org"];
    let text = format!("{HEADER}Ann,1990-04-23,female\nBob,1990-04-23,male\n");
    let ended = Program::on(&clinic.app.database, &clinic.folder, &import).run(&text);
    assert!(ended.said().starts_with("imported 2 patients"), "{ended:?}");
    let bob = clinic.app.signed_up("bob");
    bob.new_patient("Bob's own");
    for (options, count) in [(&[][..], 3), (&["--owner", "ann@example.org"], 2), (&["--owner", "bob@example.org"], 1)] {
        let ended = clinic.run(&[&["export", "patients", "-"], options].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.stdout.lines().count(), count + 1, "{ended:?}");
        assert_eq!(ended.stderr, format!("exported {count} patients\n"));
    }
    let exports = clinic.app.audited("list");
    assert_eq!(exports.len(), 3);
    for entry in exports {
        let shown = (&entry["actor_id"], &entry["resource"], &entry["ip"]);
        assert_eq!(shown, (&json!(null), &json!("patient"), &json!(null)));
    }
    assert_eq!(fs::read_dir(clinic.folder.path()).expect("a folder").count(), 0, "no file was made");
}

#[test]
fn an_export_that_fails_leaves_no_file_and_replaces_none() {
    let clinic = Clinic::open();
    let ended = clinic.run(&["export", "doctors", "--owner", "nobody@example.org", "out.csv"]);
    assert!(ended.problem(1).contains("nobody@example.org"), "{ended:?}");
    assert_eq!(fs::read_dir(clinic.folder.path()).expect("a folder").count(), 0);
    clinic.folder.write("out.csv", "mine");
    assert!(clinic.run(&["export", "doctors", "out.csv"]).problem(1).contains("out.csv exists already"));
    assert_eq!(fs::read_to_string(clinic.path("out.csv")).expect("a file"), "mine");
    assert!(clinic.run(&["export", "doctors", "no/such/folder/out.csv"]).problem(1).contains("cannot be written"));
    // What may be a link, or readable by others, is not written to.
    std::os::unix::fs::symlink(clinic.path("out.csv"), clinic.path("new.csv.part")).expect("a link");
    assert!(clinic.run(&["export", "doctors", "new.csv"]).problem(1).contains("new.csv.part is there"));
    assert_eq!(fs::read_to_string(clinic.path("out.csv")).expect("a file"), "mine");
    assert_eq!(fs::read_dir(clinic.folder.path()).expect("a folder").count(), 2);
    assert_eq!(clinic.app.audited("list").len(), 0);
}

#[test]
fn an_export_that_is_told_to_stop_leaves_no_file() {
    let clinic = Clinic::open();
    let rows = "insert into patients (name, date_of_birth, gender, created_by)
                select 'Patient ' || n, '1990-04-23', 'other', $1 from generate_series(1, 250) n";
    let mut sql = clinic.app.sql();
    sql.execute(rows, &[&clinic.ann.id]).expect("rows");
    let mut held = sql.transaction().expect("a transaction");
    held.batch_execute("lock table patients in access exclusive mode").expect("a lock");
    let child = Program::on(&clinic.app.database, &clinic.folder, &["export", "patients", "out.csv"]).spawn();
    clinic.app.wait_until_blocked(1);
    assert!(clinic.path("out.csv.part").exists() && !clinic.path("out.csv").exists());
    let status = std::process::Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
    assert!(status.expect("kill").success());
    held.commit().expect("an end");
    let ended = Ended::from(child.wait_with_output().expect("an end"));
    assert_eq!(ended.problem(1), "it was told to stop: no file was written");
    assert_eq!(fs::read_dir(clinic.folder.path()).expect("a folder").count(), 0);
}

#[test]
fn an_export_is_not_in_the_trail_if_reads_are_not_recorded() {
    let clinic = Clinic::open();
    let export = ["export", "doctors", "out.csv"];
    Program::on(&clinic.app.database, &clinic.folder, &export).set("AUDIT_READS", "off").run("").said();
    assert_eq!(clinic.app.audited("list").len(), 0);
}

#[test]
fn neither_holds_more_than_a_few_lines_in_memory() {
    let clinic = Clinic::open();
    let import = ["import", "patients", "--owner", "ann@example.org", "-"];
    let mut child = Program::on(&clinic.app.database, &clinic.folder, &import).spawn();
    let mut input = child.stdin.take().expect("standard input");
    let history = "ü".repeat(20_000);
    writeln!(input, "name,date_of_birth,gender,medical_history").expect("a header");
    for line in 0..2_000 {
        writeln!(input, "Patient {line},1990-04-23,other,{history}").expect("a line");
    }
    // The pipe holds less than two lines: all the others were read.
    assert!(peak_memory(&child) < 64.0, "{} MiB", peak_memory(&child));
    drop(input);
    let ended = Ended::from(child.wait_with_output().expect("an end"));
    assert!(ended.said().starts_with("imported 2000 patients"), "{ended:?}");

    let mut child = Program::on(&clinic.app.database, &clinic.folder, &["export", "patients", "-"]).spawn();
    let mut output = child.stdout.take().expect("standard output");
    output.read_exact(&mut vec![0; 79_000_000]).expect("79 of 80 MB");
    assert!(peak_memory(&child) < 64.0, "{} MiB", peak_memory(&child));
    output.read_to_end(&mut Vec::new()).expect("the rest");
    assert!(child.wait().expect("an end").success());
}

#[test]
fn an_import_that_is_killed_leaves_nothing() {
    let clinic = Clinic::open();
    let import = ["import", "patients", "--owner", "ann@example.org", "-"];
    let mut child = Program::on(&clinic.app.database, &clinic.folder, &import).spawn();
    let mut input = child.stdin.take().expect("standard input");
    let lines: String = (0..2_000).map(|line| format!("Patient {line},1990-04-23,other\n")).collect();
    input.write_all(format!("{HEADER}{lines}").as_bytes()).expect("lines");
    input.flush().expect("lines");
    let mut sql = clinic.app.sql();
    let mut written = || {
        let used = "select coalesce(last_value, 0) from pg_sequences where sequencename = 'patients_id_seq'";
        sql.query_one(used, &[]).expect("a row").get::<_, i64>(0)
    };
    crate::harness::eventually("some lines are written", || written() >= 500);
    child.kill().expect("a kill");
    child.wait().expect("an end");
    let mut watch = clinic.app.sql();
    crate::harness::eventually("its session is over", || {
        let open = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'";
        watch.query_one(open, &[]).expect("a count").get::<_, i64>(0) == 0
    });
    assert_eq!((clinic.count("patients"), clinic.count("entries")), (0, 0));
}

#[test]
fn possible_duplicates_are_found_by_an_index_of_names() {
    let mut sql = postgres::connect(&postgres::new_database());
    sql.batch_execute(
        "insert into users (name, email, password_hash) values ('U', 'u@example.org', '-');
         insert into patients (name, date_of_birth, gender, created_by)
         select 'Patient ' || n, '1990-01-01', 'other', 1 from generate_series(1, 5000) n;
         insert into doctors (name, specialization, created_by) select 'Doctor ' || n, 'S', 1 from generate_series(1, 5000) n;
         analyze patients, doctors;",
    )
    .expect("rows");
    let queries = Queries::load(None).expect("statements");
    for query in [&queries.patients.import, &queries.doctors.import] {
        sql.batch_execute(&format!("prepare import (jsonb[], bigint, boolean) as {}", query.text))
            .expect("a statement");
        let plan = sql.simple_query("explain execute import ('{\"{}\"}', 1, false)").expect("a plan");
        let lines = plan.iter().filter_map(|message| match message {
            ::postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let plan: Vec<&str> = lines.collect();
        let by_name = |line: &&str| line.contains("Index Cond") && line.contains("folded");
        assert!(plan.iter().any(by_name), "{}: {}", query.name, plan.join("\n"));
        sql.batch_execute("deallocate import").expect("no statement");
    }
}
