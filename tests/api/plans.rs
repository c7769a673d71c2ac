//! The plans of the statements behind every list, on 1,000 rows and on 1,000,000: which index serves a page, and that a deep
//! page reads no more than the first.
//!
//! The layout tempts a planner to walk the primary key: nine rows of ten belong to one account, the one with the highest id,
//! and all rows of the others come before them. Times are printed (`cargo test plans -- --nocapture`), not asserted.

#![allow(clippy::print_stdout, reason = "the times are printed for the person who runs the test")]

mod combinations;
mod fhir;

use std::sync::OnceLock;
use std::time::Instant;

use healthcare_backend::internals::{Queries, Query};
use postgres::Client;
use serde_json::Value;

use crate::harness::postgres as databases;

/// Owns 900 of 1,000 rows.
const LARGE: i64 = 102;
/// Owns one row of 10,000.
const SMALL: i64 = 2;
/// A page, and one more to see whether there is more.
const PAGE: i64 = 101;

/// Bulk loading: no log, no triggers, the indexes made at the end.
const FILL: &str = "
    set maintenance_work_mem = '256MB';
    insert into users (name, email, password_hash)
    select 'User', 'user-' || n || '@example.org', '-' from generate_series(1, 102) n;

    alter table mappings drop constraint mappings_patient_id_fkey, drop constraint mappings_doctor_id_fkey;
    alter table patients drop constraint patients_created_by_fkey, drop constraint patients_id_created_by_key,
        drop constraint patients_pkey;
    create temporary table definitions as
    select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition
      from pg_index where indrelid = 'patients'::regclass;
    do $$ declare name text; begin for name in select d.name from definitions d loop execute 'drop index ' || name; end loop; end $$;
    alter table patients set unlogged;
    insert into patients (name, date_of_birth, gender, phone, created_by, created_at, updated_at)
    select case when n % 100000 = 777 then 'Zyxgård Quill' else
           (array['Ada', 'Ben', 'Cleo', 'Dov', 'Eve', 'Finn', 'Gus', 'Hana', 'Ivo', 'Jana'])[1 + n % 10] || ' ' ||
           (array['Albers', 'Bauer', 'Conti', 'Dubois', 'Egger', 'Fuchs', 'Graf', 'Huber'])[1 + n / 10 % 8] || ' ' || n % 1000 end,
           date '1930-01-01' + n % 30000, case n / 7 % 2 when 0 then 'female' else 'male' end, '+49 30 ' || 1000000 + n,
           case when n > :patients / 10 then 102 when n % 1000 = 0 then 2 else 3 + n % 99 end,
           timestamptz '2026-01-01' + n * interval '1 second', timestamptz '2026-02-01' + n * interval '1 second'
      from generate_series(1, :patients) n;
    alter table patients add constraint patients_pkey primary key (id),
        add constraint patients_id_created_by_key unique (id, created_by);
    do $$ declare text text; begin for text in select definition from definitions loop execute text; end loop; end $$;

    insert into doctors (name, specialization, license_number, created_by, created_at, updated_at)
    select 'Doctor ' || n, 'Specialization ' || n % 40, 'BE-' || 100000 + n, 1 + n % 100, timestamptz '2026-01-01' + n * interval '1 second',
           timestamptz '2026-02-01' + n * interval '1 second' from generate_series(1, greatest(:patients / 100, 100)) n;
    insert into mappings (patient_id, doctor_id, created_by)
    select p.id, 1 + p.id % 100, p.created_by from patients p where p.id % 10 = 0;
    analyze patients, doctors, mappings;
";

/// A database with this many patients, and a tenth as many mappings.
struct Filled {
    client: Client,
    sql: Queries,
    patients: i64,
}

fn filled(patients: i64) -> String {
    let (database, started) = (databases::new_database(), Instant::now());
    let fill = FILL.replace(":patients", &patients.to_string());
    databases::connect(&database).batch_execute(&fill).expect("rows");
    println!("{patients} patients made in {:?}", started.elapsed());
    database
}

impl Filled {
    fn with(patients: i64) -> Filled {
        Filled::on(&filled(patients), patients)
    }

    /// The one that several tests read, and none changes.
    fn with_a_million() -> Filled {
        static DATABASE: OnceLock<String> = OnceLock::new();
        Filled::on(DATABASE.get_or_init(|| filled(1_000_000)), 1_000_000)
    }

    fn on(database: &str, patients: i64) -> Filled {
        Filled { client: databases::connect(database), sql: Queries::load(None).expect("statements"), patients }
    }

    /// Runs a statement and explains what it did: a planned one as planned for its values, any other both ways, since
    /// PostgreSQL decides between the two after some calls.
    fn ask(&mut self, pick: fn(&Queries) -> &Query, values: &[String]) -> Vec<Plan> {
        let query = pick(&self.sql);
        let types: Vec<&str> = query.parameters.iter().map(|kind| kind.name()).collect();
        assert_eq!(types.len(), values.len(), "{}", query.name);
        let array = |value: &String| if query.batched { format!("array[{value}]") } else { value.clone() };
        let values: Vec<String> = values.iter().map(array).collect();
        let prepare = format!("prepare asked ({}) as {}", types.join(", "), query.text);
        let execute = format!("execute asked ({})", values.join(", "));
        let modes: &[&str] = if query.planned { &["custom"] } else { &["custom", "generic"] };
        let mut plans = Vec::new();
        for mode in modes {
            let text = format!("set plan_cache_mode = force_{mode}_plan; {prepare}");
            self.client.batch_execute(&text).expect("a statement");
            let started = Instant::now();
            self.client.simple_query(&execute).expect("rows");
            println!("{:>8} {:<22} {mode:<7} {} {:?}", self.patients, query.name, values.join(", "), started.elapsed());
            let text = format!("explain (analyze, buffers, timing off, format json) {execute}");
            let explained: Value = self.client.query_one(&text, &[]).expect("a plan").get(0);
            self.client.batch_execute("deallocate asked").expect("no statement");
            plans.push(Plan { name: format!("{} {values:?} {mode}", query.name), explained });
        }
        plans
    }

    /// The same, for a page that one of these indexes must serve, with no more reading than the page needs.
    #[track_caller]
    fn page(&mut self, pick: fn(&Queries) -> &Query, values: &[&dyn ToString], indexes: &[&str]) {
        self.page_of(pick, &values.iter().map(|value| value.to_string()).collect::<Vec<_>>(), indexes);
    }

    #[track_caller]
    fn page_of(&mut self, pick: fn(&Queries) -> &Query, values: &[String], indexes: &[&str]) {
        for plan in self.ask(pick, values) {
            assert!(plan.indexes().iter().any(|used| indexes.contains(used)), "{}: {}", plan.name, plan.explained);
            plan.reads_whole_tables_never();
            plan.reads_one_page();
        }
    }

    /// The same, for a search that may read more than it shows, but nothing like all rows.
    #[track_caller]
    fn search(&mut self, pick: fn(&Queries) -> &Query, values: &[&dyn ToString], indexes: &[&str]) {
        self.search_of(pick, &values.iter().map(|value| value.to_string()).collect::<Vec<_>>(), indexes);
    }

    #[track_caller]
    fn search_of(&mut self, pick: fn(&Queries) -> &Query, values: &[String], indexes: &[&str]) {
        for plan in self.ask(pick, values) {
            plan.reads_whole_tables_never();
            let used = plan.indexes();
            assert!(used.iter().any(|index| indexes.contains(index)), "{}: {}", plan.name, plan.explained);
            assert!(plan.blocks() <= 2_000, "{}: {} blocks", plan.name, plan.blocks());
        }
    }
}

struct Plan {
    name: String,
    explained: Value,
}

impl Plan {
    /// All nodes, outermost first.
    fn nodes(&self) -> Vec<&Value> {
        let mut nodes = vec![&self.explained[0]["Plan"]];
        let mut next = 0;
        while let Some(node) = nodes.get(next) {
            nodes.extend(node["Plans"].as_array().into_iter().flatten());
            next += 1;
        }
        nodes
    }

    /// The indexes that are used.
    fn indexes(&self) -> Vec<&str> {
        self.nodes().iter().filter_map(|node| node["Index Name"].as_str()).collect()
    }

    /// The blocks of 8 KiB that were looked at.
    fn blocks(&self) -> i64 {
        let top = &self.explained[0]["Plan"];
        let number = |field: &str| top[field].as_i64().unwrap_or_default();
        number("Shared Hit Blocks") + number("Shared Read Blocks")
    }

    /// The rows that were read from tables, found or thrown away.
    fn rows(&self) -> f64 {
        let number = |node: &Value, field: &str| node[field].as_f64().unwrap_or_default();
        let read = |node: &Value| {
            (number(node, "Actual Rows") + number(node, "Rows Removed by Filter")) * number(node, "Actual Loops")
        };
        self.nodes().into_iter().filter(|node| node["Relation Name"].is_string()).map(read).sum()
    }

    #[track_caller]
    fn reads_whole_tables_never(&self) {
        let whole = self.nodes().into_iter().find(|node| node["Node Type"] == "Seq Scan");
        assert_eq!(whole, None, "{}", self.name);
    }

    /// No node reads more rows than a page has, found or thrown away; nor does one skip over an index entry by entry, which only
    /// the number of blocks tells: a row and the index above it are some four.
    #[track_caller]
    fn reads_one_page(&self) {
        for node in self.nodes() {
            let number = |field: &str| node[field].as_f64().unwrap_or_default();
            let read = (number("Actual Rows") + number("Rows Removed by Filter")) * number("Actual Loops");
            assert!(read <= PAGE as f64, "{}: {read} rows of {}", self.name, node["Node Type"]);
        }
        let joined = self.nodes().iter().filter(|node| node["Relation Name"].is_string()).count() as i64;
        assert!(self.blocks() <= joined * PAGE * 4 + 20, "{}: {} blocks", self.name, self.blocks());
    }
}

/// The pages of an owner's list, at several depths, of a large owner and of small ones.
fn pages(filled: &mut Filled) {
    let end = filled.patients;
    for owner in [LARGE, SMALL, 50] {
        for after in [0, end / 2] {
            filled.page(
                |sql| sql.patients.list.limited_by_owners(),
                &[&owner, &after, &PAGE],
                &["patients_created_by_id_idx"],
            );
        }
        // Near the end, the last entries of the primary key serve as well.
        let either = ["patients_created_by_id_idx", "patients_pkey"];
        for after in [end * 9 / 10, end - 50, end] {
            filled.page(|sql| sql.patients.list.limited_by_owners(), &[&owner, &after, &PAGE], &either);
        }
    }
}

#[test]
fn the_pages_of_several_questions_come_in_their_order_without_sorting_them_again() {
    let mut filled = Filled::with_a_million();
    let (owners, several) =
        (format!("{LARGE}, {SMALL}, 50"), format!("'{{{LARGE},{SMALL}}}', '{{50}}', '{{{SMALL},50}}'"));
    let (after, page) = ("0, 10, 0", "20, 30, 40");
    for (pick, values) in [
        (|sql| sql.patients.list.limited_by_owners(), vec![&*owners, after, page]),
        (|sql| sql.patients.list_of_several.limited_by_owners(), vec![&*several, after, page]),
        (|sql| &sql.doctors.list, vec![after, page]),
    ] as [(fn(&Queries) -> &Query, Vec<&str>); 3]
    {
        let values: Vec<String> = values.into_iter().map(str::to_string).collect();
        for plan in filled.ask(pick, &values) {
            let outermost = &plan.explained[0]["Plan"]["Node Type"];
            assert_eq!(outermost, "Nested Loop", "{}: {}", plan.name, plan.explained);
        }
        let query = pick(&filled.sql);
        let text = (1..).zip(values.iter().zip(&query.parameters)).fold(
            query.text.clone(),
            |text, (number, (value, kind))| {
                text.replace(&format!("${number}"), &format!("array[{value}]::{}", kind.name()))
            },
        );
        let rows = filled.client.query(&text, &[]).expect("rows");
        let places: Vec<(i64, i64)> = rows.iter().map(|row| (row.get("number"), row.get("id"))).collect();
        assert_eq!(places.len(), 90, "{}", query.name);
        assert!(places.is_sorted(), "{}: {places:?}", query.name);
    }
}

#[test]
fn a_thousand_rows_are_paged_by_the_index_of_their_owner() {
    pages(&mut Filled::with(1_000));
}

#[test]
fn a_million_rows_are_paged_and_searched_by_the_right_index() {
    let mut filled = Filled::with_a_million();
    let (any, rare, common) = ("null", "'ZYXgard q'", "'ÉR'");
    pages(&mut filled);
    for owner in [LARGE, SMALL, 50] {
        for after in [0, 500_000] {
            filled.page(
                |sql| sql.mappings.list.limited_by_owners(),
                &[&owner, &(after / 10), &PAGE],
                &["mappings_created_by_id_idx"],
            );
        }
    }
    for after in [0, 5_000] {
        filled.page(|sql| &sql.doctors.list, &[&after, &PAGE], &["doctors_pkey"]);
    }

    // The parameters of a search: filters by name, gender, date of birth and words.
    let first = ("null", 0, "null");
    let mut search = |owner: &str, (sort, after, value): (&str, i64, &str), filters: [&str; 4], indexes: &[&str]| {
        let [name, gender, born, words] = filters;
        let values: [&dyn ToString; 9] = [&owner, &sort, &after, &value, &PAGE, &name, &gender, &born, &words];
        if filters == [any; 4] {
            filled.page(|sql| sql.patients.search.limited_by_owners(), &values, indexes);
        } else {
            filled.search(|sql| sql.patients.search.limited_by_owners(), &values, indexes);
        }
    };
    let (large, small, everyone) = (format!("'{{{LARGE}}}'"), format!("'{{{SMALL}}}'"), any);

    // Every order, at the start and deep in, of one owner and of everyone.
    for (sort, value, after, of_owner, of_all) in [
        ("null", any, 900_000, "patients_created_by_id_idx", "patients_pkey"),
        ("'name'", "'Finn Huber 500'", 500_000, "patients_created_by_name_idx", "patients_name_id_idx"),
        ("'-created_at'", "'2026-01-05Z'", 345_600, "patients_created_by_created_at_idx", "patients_created_at_id_idx"),
        ("'-updated_at'", "'2026-02-05Z'", 345_600, "patients_created_by_updated_at_idx", "patients_updated_at_id_idx"),
        ("'date_of_birth'", "'1970-01-01'", 1, "patients_created_by_date_of_birth_idx", "patients_date_of_birth_idx"),
    ] {
        for place in [(sort, 0, any), (sort, after, value)] {
            search(&large, place, [any; 4], &[of_owner, "patients_pkey"]);
            search(everyone, place, [any; 4], &[of_all]);
            // A common name, word or gender fills a page from the order itself.
            for filters in [[common, any, any, any], [any, any, any, "'{+49}'"], [any, "'male'", any, any]] {
                search(&large, place, filters, &[of_owner, "patients_pkey"]);
                search(everyone, place, filters, &[of_all]);
            }
            // A rare name or word is found through its trigrams, whatever the order.
            for filters in [[rare, any, any, any], [any, any, any, "'{ZYXGARD,qu}'"], [any, any, any, "'{1765432}'"]] {
                search(&large, place, filters, &["patients_search_idx"]);
                search(everyone, place, filters, &["patients_search_idx"]);
                let either = ["patients_search_idx", of_owner, "patients_created_by_id_idx"];
                search(&small, place, filters, &either);
            }
        }
        // A date of birth has an index of its own, for one owner and for all.
        let born = [any, any, "date '1950-05-05'", any];
        search(&large, (sort, 0, any), born, &["patients_created_by_date_of_birth_idx"]);
        search(everyone, (sort, 0, any), born, &["patients_date_of_birth_idx"]);
    }
    search(
        &large,
        first,
        [rare, "'male'", "date '1950-05-05'", "'{1765432}'"],
        &["patients_search_idx", "patients_created_by_date_of_birth_idx"],
    );

    // The directory of doctors.
    for (sort, value, after, index) in [
        ("null", any, 9_000, "doctors_pkey"),
        ("'name'", "'Doctor 5000'", 5_000, "doctors_name_id_idx"),
        ("'-created_at'", "'2026-01-01 01:00Z'", 3_600, "doctors_created_at_id_idx"),
        ("'-updated_at'", "'2026-02-01 01:00Z'", 3_600, "doctors_updated_at_id_idx"),
    ] {
        for (after, value) in [(0, any), (after, value)] {
            let all: [&dyn ToString; 8] = [&any, &sort, &after, &value, &PAGE, &any, &any, &any];
            filled.page(|sql| &sql.doctors.search, &all, &[index]);
            // Deep in, little is left to walk through.
            let licence: [&dyn ToString; 8] = [&any, &sort, &after, &value, &PAGE, &any, &any, &"'{be-104321}'"];
            filled.search(|sql| &sql.doctors.search, &licence, &["doctors_search_idx", index]);
        }
    }
    // The doctors of one patient, among 100,000 mappings.
    let of_patient: [&dyn ToString; 4] = [&"'{102}'", &500_000, &0, &PAGE];
    filled.search(
        |sql| sql.mappings.list_of_patient.limited_by_owners(),
        &of_patient,
        &["mappings_patient_id_id_idx", "mappings_patient_id_doctor_id_key"],
    );
    fhir::searches(&mut filled);
}

/// The lists of three owners against those of each of them, at the start and deep in, in every order.
#[test]
fn a_page_of_three_owners_among_a_million_patients_reads_at_most_three_times_that_of_one() {
    let mut filled = Filled::with_a_million();
    let mut compare = |pick: [fn(&Queries) -> &Query; 2], single: &dyn Fn(i64) -> String, place: &[&str]| {
        let values = |owners: &str| [&[owners], place].concat().into_iter().map(String::from).collect::<Vec<_>>();
        let alone = [LARGE, 50, 60].map(|owner| filled.ask(pick[0], &values(&single(owner))));
        for (number, plan) in filled.ask(pick[1], &values("'{102,50,60}'")).iter().enumerate() {
            plan.reads_whole_tables_never();
            assert!(plan.rows() <= 3.0 * PAGE as f64, "{}: {} rows", plan.name, plan.rows());
            let most = alone.iter().map(|plans| plans[number].blocks()).sum::<i64>() + 20;
            assert!(plan.blocks() <= most, "{}: {} blocks, not {most}", plan.name, plan.blocks());
        }
    };
    for after in ["0", "500000", "990000"] {
        let lists: [fn(&Queries) -> &Query; 2] =
            [|sql| sql.patients.list.limited_by_owners(), |sql| sql.patients.list_of_several.limited_by_owners()];
        compare(lists, &|owner| owner.to_string(), &[after, "101"]);
    }
    let search: [fn(&Queries) -> &Query; 2] = [|sql| sql.patients.search.limited_by_owners(); 2];
    for (sort, value, after) in [
        ("null", "null", "500000"),
        ("'name'", "'Finn Huber 500'", "500000"),
        ("'-created_at'", "'2026-01-05Z'", "345600"),
        ("'-updated_at'", "'2026-02-05Z'", "345600"),
        ("'date_of_birth'", "'1970-01-01'", "1"),
    ] {
        for (value, after) in [("null", "0"), (value, after)] {
            compare(
                search,
                &|owner| format!("'{{{owner}}}'"),
                &[sort, after, value, "101", "null", "null", "null", "null"],
            );
        }
    }
}

#[test]
fn a_refresh_does_not_read_the_tokens_that_its_session_has_used() {
    let mut filled = Filled::with(1_000);
    filled
        .client
        .batch_execute(
            "insert into sessions (user_id, expires_at) values (1, now() + interval '1 day');
             insert into refresh_tokens (hash, session_id, used_at)
             select sha256(convert_to(n::text, 'UTF8')), 1, now() - interval '1 hour' from generate_series(1, 100000) n;
             insert into refresh_tokens (hash, session_id) values (sha256('good'), 1);
             analyze sessions, refresh_tokens;",
        )
        .expect("tokens");
    // Each time another new token for the same one: a retry, which replaces the last.
    let values = ["sha256('good')", "sha256(convert_to(random()::text, 'UTF8'))", "60", "60", "'::1'", "'a'"];
    for plan in filled.ask(|sql| &sql.sessions.refresh, &values.map(String::from)) {
        assert!(plan.blocks() <= 200, "{}: {} blocks", plan.name, plan.blocks());
    }
}

#[test]
fn a_page_of_a_history_costs_the_same_however_many_versions_there_are() {
    let mut filled = Filled::with(10_000);
    // Patient 1 has 10,000 versions, patient 2 has 200, every other one two; all but every hundredth leave a long text to a later one. And
    // 10,000 more were deleted, of which every second is back.
    filled
        .client
        .batch_execute(
            "insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, actor_id, record, texts_here, texts_later)
             select 'patient', p.id, n, p.created_by, p.id, 'update', 1,
                    to_jsonb(p) || case n % 100 when 0 then jsonb_build_object('medical_history', repeat('text ' || n, 300)) else '{}' end,
                    case n % 100 when 0 then array['medical_history'] end, case when n % 100 <> 0 then array['medical_history'] end
               from patients p, generate_series(1, case p.id when 1 then 10000 when 2 then 200 else 2 end) n;
             update patients set version = case id when 1 then 10001 when 2 then 201 else 3 end;
             insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_at, ended_by, actor_id, record)
             select 'patient', 1000000 + n, 1, 102, 1000000 + n, timestamptz '2026-01-01' + n * interval '1 second', 'delete', 1, '{\"name\": \"P\"}'
               from generate_series(1, 10000) n;
             insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_at, ended_by, actor_id)
             select 'patient', 1000000 + n, 2, 102, 1000000 + n, timestamptz '2026-01-02' + n * interval '1 second', 'undelete', 1
               from generate_series(2, 10000, 2) n;
             insert into audit_entries (actor_id, action, resource, resource_id, version)
             select 1, case n when 1 then 'create' else 'update' end, 'patient', 1, nullif(n, 1) from generate_series(1, 10000) n;
             analyze record_versions, audit_entries, patients",
        )
        .expect("versions");
    let mut blocks = |id: i64, before: &str| -> i64 {
        let values = ["null", "'patient'", &id.to_string(), "null", before, &PAGE.to_string()].map(String::from);
        let mut plans = filled.ask(|sql| sql.history.list.limited_by_owners(), &values);
        let plan = plans.pop().expect("a plan");
        plan.reads_whole_tables_never();
        assert!(plan.rows() <= (6 * PAGE) as f64, "{}: {} rows", plan.name, plan.rows());
        plan.blocks()
    };
    let first = blocks(2, "9223372036854775807");
    for before in ["9223372036854775807", "5000", "150"] {
        let deep = blocks(1, before);
        assert!(deep <= 2 * first, "before {before}: {deep} blocks, where a short history takes {first}");
    }
    for (owners, position) in [
        ("array[102]", ["null", "null"]),
        ("array[102]", ["'2026-01-01 00:30'", "1"]),
        ("array[102, 2, 3]", ["null", "null"]),
        ("null", ["null", "null"]),
    ] {
        let values = [owners, "'patient'", position[0], position[1], &PAGE.to_string()].map(String::from);
        for plan in filled.ask(|sql| sql.history.deleted.limited_by_owners(), &values) {
            plan.reads_whole_tables_never();
            assert!(plan.rows() <= (6 * PAGE) as f64, "{}: {} rows", plan.name, plan.rows());
        }
    }
}
