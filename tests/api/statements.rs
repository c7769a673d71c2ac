//! What the SQL files say of their statements, tried in PostgreSQL.

use std::collections::BTreeMap;

use healthcare_backend::internals::{PLAN_BY_INDEX, Queries, Query};
use serde_json::Value;

use crate::harness::{folder::Folder, postgres};

#[test]
fn a_statement_says_write_exactly_if_a_read_only_transaction_refuses_it() {
    let mut client = postgres::connect(&postgres::new_database());
    for query in Queries::load(None).expect("statements").all() {
        let types: Vec<&str> = query.parameters.iter().map(|kind| kind.name()).collect();
        let (types, nulls) = match types.len() {
            0 => (String::new(), String::new()),
            count => (format!("({})", types.join(", ")), format!("({})", vec!["null"; count].join(", "))),
        };
        let mut transaction = client.build_transaction().read_only(true).start().expect("a transaction");
        transaction.batch_execute(&format!("prepare tried {types} as {}", query.text)).expect(&query.name);
        let refused = match transaction.batch_execute(&format!("execute tried {nulls}")) {
            Ok(()) => false,
            Err(error) => error.code().is_some_and(|code| code.code() == "25006"),
        };
        drop(transaction);
        client.batch_execute("deallocate all").expect("no statement");
        // An advisory lock is all that `claim` writes, and PostgreSQL lets a standby have that.
        let writes = query.writes && query.name != "idempotency.claim";
        assert_eq!(refused, writes, "{}", query.name);
    }
}

fn batched_reads(sql: &Queries) -> Vec<&Query> {
    let batched: Vec<_> = sql.all().into_iter().filter(|query| query.batched && !query.writes).collect();
    assert!(batched.len() >= 8, "{}", batched.len());
    batched
}

#[test]
fn a_batched_statement_answers_each_of_its_questions_as_if_it_were_the_only_one() {
    let mut client = postgres::connect(&postgres::new_database());
    client
        .batch_execute(
            "insert into users (name, email, password_hash) select 'U', n || '@example.org', '-' from generate_series(1, 3) n;
             insert into doctors (name, specialization, created_by) select 'D' || n, 'S', 1 from generate_series(1, 5) n;
             insert into patients (name, date_of_birth, gender, created_by)
             select 'P' || n, '1990-01-01', 'other', 1 + n % 3 from generate_series(1, 12) n;
             insert into mappings (patient_id, doctor_id, created_by)
             select p.id, d.id, p.created_by from patients p join doctors d on (p.id + d.id) % 3 = 0;
             insert into record_versions (resource, record_id, version, owner_id, ended_by)
             select resource, n, 1, 1 + n % 3, case when n % 5 = 0 then 'update' else 'delete' end
               from unnest(array['patient', 'doctor']) as resource, generate_series(1, 12) n;",
        )
        .expect("rows");
    // Columns of the questions: some of the values are found, some are not, and null means any owner and any patient.
    let values = |name: &str| match name {
        "page_size" => vec!["1", "3", "101"],
        "owners" => vec!["\"{1}\"", "\"{2,3}\"", "null", "\"{9}\"", "\"{3,1,2}\""],
        "owner_id" => vec!["1", "2", "null", "9", "3"],
        "patient_id" => vec!["4", "null", "7", "12", "1", "8", "2"],
        "after_id" => vec!["0", "3"],
        "resource" => vec!["patient", "doctor"],
        _ => vec!["1", "4", "7", "12", "2", "99"],
    };
    let sql = Queries::load(None).expect("statements");
    for query in batched_reads(&sql) {
        let file = std::fs::read_to_string(format!("sql/{}.sql", query.name.split('.').next().expect("a file")))
            .expect("a file");
        let declaration = format!("-- name: {}(", query.name.split('.').nth(1).expect("a name"));
        let names = file.split(&declaration).nth(1).and_then(|rest| rest.split(')').next()).expect("its parameters");
        let names: Vec<&str> =
            names.split(", ").map(|parameter| parameter.split(' ').next().expect("a name")).collect();
        let question = |number: usize| -> Vec<&str> {
            names.iter().map(|name| values(name)).map(|values| values[number % values.len()]).collect()
        };
        let mut ask = |questions: &[Vec<&str>]| {
            let columns: Vec<String> = (0..names.len())
                .map(|place| questions.iter().map(|values| values[place]).collect::<Vec<_>>().join(","))
                .map(|column| format!("'{{{column}}}'"))
                .collect();
            let types: Vec<&str> = query.parameters.iter().map(|kind| kind.name()).collect();
            let prepare = format!("prepare asked ({}) as select to_jsonb(x) from ({}) x", types.join(", "), query.text);
            client.batch_execute(&prepare).expect(&query.name);
            let rows = client.simple_query(&format!("execute asked ({})", columns.join(", "))).expect(&query.name);
            client.batch_execute("deallocate asked").expect("no statement");
            let mut found = BTreeMap::<i64, Vec<Value>>::new();
            for row in rows {
                if let ::postgres::SimpleQueryMessage::Row(row) = row {
                    let mut row: Value = serde_json::from_str(row.get(0).expect("a value")).expect("JSON");
                    found.entry(row["number"].take().as_i64().expect("a number")).or_default().push(row);
                }
            }
            found
        };
        let questions: Vec<Vec<&str>> = (0..30).map(question).collect();
        let together = ask(&questions);
        assert!(!together.is_empty(), "{}", query.name);
        for (number, question) in (1..).zip(questions) {
            let alone = ask(std::slice::from_ref(&question)).remove(&1);
            assert_eq!(together.get(&number), alone.as_ref(), "{}: {question:?}", query.name);
        }
    }
}

#[test]
fn a_batched_statement_finds_its_rows_by_an_index_however_small_a_table_is() {
    let mut client = postgres::connect(&postgres::new_database());
    client.batch_execute(PLAN_BY_INDEX).expect("settings");
    for query in batched_reads(&Queries::load(None).expect("statements")) {
        let types: Vec<&str> = query.parameters.iter().map(|kind| kind.name()).collect();
        let nulls = vec!["null"; types.len()].join(", ");
        client.batch_execute(&format!("prepare asked ({}) as {}", types.join(", "), query.text)).expect(&query.name);
        let rows = client.query(&format!("explain execute asked ({nulls})"), &[]).expect("a plan");
        client.batch_execute("deallocate asked").expect("no statement");
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        let wrong = ["Seq Scan", "Hash Join", "Merge Join"].into_iter().find(|node| plan.contains(node));
        assert_eq!(wrong, None, "{}:\n{plan}", query.name);
    }
}

#[test]
fn a_constraint_that_a_statement_names_must_exist() {
    let folder = Folder::with_sql();
    let mut client = postgres::connect(&postgres::new_database());
    let mut prove = || Queries::load(Some(folder.path())).and_then(|queries| queries.prove(&mut client));
    assert_eq!(prove(), Ok(()));
    folder.replace("users.sql", "conflict users_email_key:", "conflict users_mail_key:");
    assert_eq!(prove(), Err("users.register: there is no constraint users_mail_key".into()));
    folder.replace("users.sql", "users_mail_key: A", "users_mail_key A");
    let problem = prove().expect_err("a line without a colon");
    assert!(problem.starts_with("users.sql: not a conflict: -- conflict users_mail_key A"), "{problem}");
}

/// Batches must not wait for each other's locks. A new patient locks the row of its owner `for key share`, which many can hold, and
/// has no unique value but the id.
#[test]
fn the_changes_that_share_a_statement_are_those_whose_locks_never_wait_for_each_other() {
    let sql = Queries::load(None).expect("statements");
    let batched: Vec<&str> =
        sql.all().into_iter().filter(|query| query.writes && query.batched).map(|query| query.name.as_str()).collect();
    assert_eq!(batched, ["patients.create"]);
    let mut client = postgres::connect(&postgres::new_database());
    let unique = "select count(*) from pg_index where indrelid = 'patients'::regclass and indisunique
                     and not 'id' = any (select attname from pg_attribute
                                          where attrelid = indrelid and attnum = any (indkey))";
    assert_eq!(client.query_one(unique, &[]).expect("a count").get::<_, i64>(0), 0, "a unique value waits");
}
