//! What the SQL files say of their statements, tried in PostgreSQL.

use healthcare_backend::sql::Queries;

use crate::harness::postgres;

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
