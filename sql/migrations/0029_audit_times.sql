-- The index of 0026_audit_periods.sql again, in the order of ids alone: in another one, a page of a long period sorts all of it.
drop index audit_batches_times_idx;
create index audit_batches_times_idx on audit_batches (id, (at[1]), (at[cardinality(at)]));
