-- The rows of `make bench SIZES=1`: so many :users, :patients, :mappings and entries of the :trail. The five accounts that ask (:root,
-- :ann, :big, :bob and one more) are there already. Nothing is random: the same numbers give the same rows.
--
-- sizes.py runs the part `accounts`, and then the others side by side, each in a session that begins with the part `session`.

-- part: session
set session_replication_role = replica;
set work_mem = '256MB';
set synchronous_commit = off;

-- A number below `below` that looks like chance.
create function pg_temp.chance(n bigint, salt bigint, below bigint) returns bigint language sql immutable return
    (hashint8extended(n, salt) & 9223372036854775807) % below;

-- part: accounts
truncate patients, mappings, record_versions, audit_entries, audit_batches, audit_batch_actors;
insert into users (name, email, password_hash)
select 'User ' || n, 'user' || n || '@example.org', '-' from generate_series(1, :users) n;
insert into care_groups (name) values ('Ward');
insert into care_group_members (group_id, user_id, added_by)
select (select id from care_groups), :bob + n, :root from generate_series(0, 19) n where n <> 1;

insert into doctors (name, specialization, phone, license_number, years_of_experience, created_by)
select 'Doctor ' || n, 'Specialization ' || n % 40, '+49 30 ' || 100000 + n, 'BE-' || 1000000 + n, n % 40, :root
  from generate_series(1, greatest(:patients / 1000, 100)) n;

-- part: clinic
-- A hundredth belongs to :big, a thousand to :ann and as many to :bob. Every twentieth was changed once.
begin;
truncate patients, mappings;
insert into patients (name, date_of_birth, gender, phone, email, address, medical_history, created_by, version, created_at, updated_at)
select given || ' ' || family, date '1930-01-01' + pg_temp.chance(n, 1, 34000)::integer, (array['male', 'female', 'other', 'unknown'])[1 + n / 3 % 4],
       '+49 30 ' || 10000000 + pg_temp.chance(n, 2, 89999999), lower(given) || '.' || lower(family) || n || '@example.org',
       pg_temp.chance(n, 3, 200) || ' Main Street, ' || 10000 + pg_temp.chance(n, 4, 89999) || ' Springfield',
       'Asthma since childhood; penicillin allergy. Hypertension, well controlled. Last visit: no complaints, ' || n || '.',
       case when n % 100 = 0 then :big when n % (:patients / 1000) = 1 then :ann when n % (:patients / 1000) = 2 then :bob
            else 6 + pg_temp.chance(n, 5, :users) end,
       1 + (n % 20 = 1)::integer, at, at + (n % 20 = 1)::integer * interval '1 hour'
  from generate_series(1::bigint, :patients) n,
       lateral (select (array['Ada', 'Benjamin', 'Cleo', 'Dovid', 'Eva', 'Finn', 'Gustav', 'Hanna', 'Ivo', 'Jana', 'Karim', 'Lena', 'Marta', 'Nils',
                              'Olga', 'Pavel', 'Quentin', 'Rosa', 'Samira', 'Tomasz', 'Ursula', 'Viktor', 'Wanda', 'Xaver', 'Yara', 'Zoe'])
                              [1 + pg_temp.chance(n, 6, 26)] as given,
                       (array['Al', 'Bau', 'Con', 'Du', 'Eg', 'Fuch', 'Gra', 'Hu', 'Jan', 'Kle', 'Lo', 'Mei', 'Neu', 'Ort', 'Pra', 'Rei', 'Schu', 'Tre',
                              'Vo', 'Zim'])[1 + pg_temp.chance(n, 7, 20)]
                       || (array['ber', 'den', 'fel', 'gra', 'hol', 'kin', 'len', 'man', 'nor', 'pel', 'ret', 'sen', 'ter', 'wal', 'zel'])
                              [1 + pg_temp.chance(n, 8, 15)]
                       || (array['', 'berg', 'dorf', 'er', 'feld', 'hof', 'mann', 'son', 'stein', 'thal'])[1 + pg_temp.chance(n, 9, 10)] as family,
                       timestamptz '2021-11-26' + n * (interval '5 years' / :patients) as at) as person;
insert into mappings (patient_id, doctor_id, created_by, notes)
select p.id, 1 + p.id % greatest(:patients / 1000, 100), p.created_by, 'Weekly visits until spring.'
  from generate_series(1, :mappings) n
  join patients p on p.id = n * (:patients / :mappings) - (:patients / :mappings - 1);
commit;

begin;
truncate record_versions;
insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_at, ended_by, actor_id, record)
select 'patient', id, 1, created_by, id, updated_at, 'update', created_by, to_jsonb(p) - 'version' || '{"phone": null}'
  from patients p
 where version = 2;
-- Deleted ones, with ids behind those that there are.
insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_at, ended_by, actor_id, record)
select 'patient', :patients + row_number() over (order by id), 1, created_by, :patients + row_number() over (order by id), updated_at, 'delete',
       created_by, to_jsonb(p) - 'version'
  from patients p
 where id % 100 in (0, 1);
commit;
select setval('patients_id_seq', max(record_id) + 1) from record_versions;

-- Half a second of a busy hospital, which writes 40 entries: 4 rows, 32 reads in a batch, 4 lists of 20 in another. All of it happened in
-- the last month. A thousandth was done by :ann.
begin;
truncate audit_entries;
insert into audit_entries (id, at, actor_id, action, resource, resource_id, version, ip, request_id) overriding system value
select (r * 6 + k) * 1000, now() - interval '30 days' * (1 - r::float / (:trail / 40)),
       case when (r * 4 + k) % 1000 = 0 then :ann else 6 + pg_temp.chance(r * 4 + k, 11, :users) end,
       case when k = 1 then 'login' when r % 3 = 0 then 'create' else 'update' end, case when k = 1 then 'session' else 'patient' end,
       case when k = 1 then r when r % 3 = 0 then 1 + pg_temp.chance(r * 4 + k, 12, :patients)
            else 1 + 20 * pg_temp.chance(r * 4 + k, 13, :patients / 20) end,
       case when k > 1 and r % 3 > 0 then 2 end, inet '10.0.0.0' + pg_temp.chance(r, 14, 60000), to_hex(1099511627776 + r * 40 + k) || '-4f3a'
  from generate_series(0::bigint, :trail / 40 - 1) r, generate_series(1, 4) k;
commit;
select setval('audit_entries_id_seq', (:trail::bigint / 40 * 6 + 1) * 1000);

-- part: reads
with batches as (
insert into audit_batches (id, action, resource, at, actor_id, resource_id, resource_ids, ip, request_id, record_ids)
select (r * 6 + 5) * 1000, 'read', 'patient', at, actor_id, resource_id, array_fill(null::text, array[32]), ip, request_id,
       array(select distinct id from unnest(resource_id) id order by id)
  from generate_series(0::bigint, :trail / 40 - 1) r,
       lateral (select array_agg(now() - interval '30 days' * (1 - r::float / (:trail / 40)) + k * interval '14.731 ms') as at,
                       array_agg(case when r % 500 = 0 then :ann else 6 + pg_temp.chance(r * 16 + k / 2, 15, :users) end) as actor_id,
                       array_agg(1 + pg_temp.chance(r * 32 + k, 16, :patients)) as resource_id,
                       array_agg(inet '10.0.0.0' + pg_temp.chance(r * 16 + k / 2, 17, 60000)) as ip,
                       array_agg(to_hex(1099511627776 + r * 40 + k) || '-4f3a') as request_id
                  from generate_series(1, 32) k) as batch
returning id, actor_id)
insert into audit_batch_actors
select one.id, batches.id from batches, lateral (select distinct unnest(actor_id) as id) as one;

-- part: lists
with batches as (
insert into audit_batches (id, action, resource, at, actor_id, resource_id, resource_ids, ip, request_id, record_ids)
select (r * 6 + 6) * 1000, 'list', 'patient', at, actor_id, array_fill(null::bigint, array[4]), resource_ids, ip, request_id,
       array(select distinct id from unnest(resource_ids) list, unnest(list::bigint[]) id order by id)
  from generate_series(0::bigint, :trail / 40 - 1) r,
       lateral (select array_agg(now() - interval '30 days' * (1 - r::float / (:trail / 40)) + k * interval '111 ms') as at,
                       array_agg(case when r % 500 = 0 then :ann else 6 + pg_temp.chance(r * 4 + k, 18, :users) end) as actor_id,
                       array_agg((select array_agg(1 + (pg_temp.chance(r * 4 + k, 19, :patients) + place * :patients / 21) % :patients)
                                    from generate_series(1, 20) place)::text) as resource_ids,
                       array_agg(inet '10.0.0.0' + pg_temp.chance(r * 4 + k, 20, 60000)) as ip,
                       array_agg(to_hex(1099511627776 + r * 40 + 32 + k) || '-4f3a') as request_id
                  from generate_series(1, 4) k) as batch
returning id, actor_id)
insert into audit_batch_actors
select one.id, batches.id from batches, lateral (select distinct unnest(actor_id) as id) as one;
