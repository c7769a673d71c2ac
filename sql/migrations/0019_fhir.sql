-- FHIR names the system of its identifiers: one that no other installation has, whatever its address. There is one row.
create table installation (
    id     uuid not null default gen_random_uuid(),
    is_one boolean primary key default true check (is_one)
);
insert into installation default values;
