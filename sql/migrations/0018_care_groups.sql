-- Care groups: their members see and change each other's patients. A group has no patients; they belong to the members.

create table care_groups (
    id         bigint generated always as identity primary key,
    name       text not null,
    version    bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- Names are compared without case.
    lower_name text generated always as (lower(name)) stored constraint care_groups_name_key unique
);

create table care_group_members (
    group_id bigint not null references care_groups (id),
    user_id  bigint not null references users (id),
    added_by bigint not null,
    added_at timestamptz not null default now(),
    primary key (group_id, user_id)
);

create index care_group_members_user_id_idx on care_group_members (user_id, group_id);
