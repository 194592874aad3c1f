-- A digest that changes with the battles or trajectories of the store. It is made of their batches, which stay the same
-- when files are merged.
SELECT sha256(coalesce(string_agg(concat_ws('/', kind, run_id, batch), chr(10) ORDER BY kind, run_id, batch), ''))
FROM (
    SELECT DISTINCT 'battles' AS kind, run_id, batch FROM battles
    UNION ALL
    SELECT DISTINCT 'trajectories', run_id, document_file FROM trajectories
)
