-- A period of the trail is found without walking to it: its first and last entry are looked up by their time.
create index audit_entries_at_idx on audit_entries (at);
