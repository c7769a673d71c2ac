-- The clinic: patients, doctors, and which doctors care for which patient.

create table patients (
    id              bigint generated always as identity primary key,
    name            text not null,
    date_of_birth   date not null,
    gender          text not null check (gender in ('male', 'female', 'other', 'unknown')),
    phone           text,
    email           text,
    address         text,
    medical_history text,
    created_by      bigint not null references users (id),
    version         bigint not null default 1,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    -- Lets a mapping refer to the patient together with the owner.
    constraint patients_id_created_by_key unique (id, created_by)
);

-- Lists of one owner, in the order of their pages.
create index patients_created_by_id_idx on patients (created_by, id);
create index patients_created_by_date_of_birth_idx on patients (created_by, date_of_birth, id);
create index patients_date_of_birth_idx on patients (date_of_birth, id);

create table doctors (
    id                  bigint generated always as identity primary key,
    name                text not null,
    specialization      text not null,
    phone               text,
    email               text,
    license_number      text constraint doctors_license_number_key unique,
    years_of_experience integer check (years_of_experience between 0 and 80),
    created_by          bigint not null references users (id),
    version             bigint not null default 1,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now()
);

create index doctors_created_by_id_idx on doctors (created_by, id);

create table mappings (
    id          bigint generated always as identity primary key,
    patient_id  bigint not null,
    doctor_id   bigint not null,
    notes       text,
    -- Always the owner of the patient: the foreign key below keeps it so.
    created_by  bigint not null,
    version     bigint not null default 1,
    assigned_at timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint mappings_patient_id_doctor_id_key unique (patient_id, doctor_id),
    -- Neither key cascades: a mapping goes by a statement that also writes its audit entry, or not at all.
    constraint mappings_patient_id_fkey foreign key (patient_id, created_by) references patients (id, created_by),
    constraint mappings_doctor_id_fkey foreign key (doctor_id) references doctors (id)
);

create index mappings_created_by_id_idx on mappings (created_by, id);
create index mappings_patient_id_id_idx on mappings (patient_id, id);
create index mappings_doctor_id_id_idx on mappings (doctor_id, id);
