-- What the peers and pgbench ask: the statements that one would write for a single request. The product's own (`sql/patients.sql`)
-- answer many at once.

-- name: create(fields jsonb, owner_id bigint) :one
insert into patients (name, date_of_birth, gender, phone, email, address, medical_history, created_by)
select new.name, new.date_of_birth, new.gender, new.phone, new.email, new.address, new.medical_history, $2
  from jsonb_populate_record(null::patients, $1) as new
returning *;

-- name: login(email text) :opt
select id, name, email, password_hash
  from users
 where email = $1;

-- name: list(owner_id bigint, after_id bigint, page_size bigint) :many
select *
  from patients
 where created_by = any (array[$1])
   and id > $2
 order by created_by, id
 limit $3;

-- name: find(id bigint, owner_id bigint) :opt
select *
  from patients
 where id = $1
   and created_by = $2;
