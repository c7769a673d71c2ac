-- The answers to requests with an Idempotency-Key, so that a client that lost one can ask again.

create table idempotency_keys (
    user_id      bigint not null references users (id),
    key          uuid not null,
    -- SHA-256 of path and body: the same key must come with the same request.
    request_hash bytea not null,
    location     text not null,
    etag         text not null,
    body         bytea not null,
    created_at   timestamptz not null default now(),
    primary key (user_id, key)
);

create index idempotency_keys_created_at_idx on idempotency_keys (created_at);

-- Lists in the order of names, and newest first.
create index patients_created_by_name_idx on patients (created_by, lower(name), id);
create index patients_created_by_created_at_idx on patients (created_by, created_at, id);
create index doctors_name_id_idx on doctors (lower(name), id);
create index doctors_created_at_id_idx on doctors (created_at, id);
