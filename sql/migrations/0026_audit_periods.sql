-- A period of the trail passes over the batches of the day before and the day after without reading them.
create index audit_batches_times_idx on audit_batches (id, (at[1]), (at[cardinality(at)]));
