-- The name, without suffix, that both of metamon's readers accept for a trajectory: seven parts separated by "_", with
-- the format in the first. The name of an ingested file is kept as far as it has this form; "_" in a player's name
-- becomes "-", and _ts-<team set>, which newer names have before the result, is removed.
CREATE MACRO metamon_file_name(name, trajectory_id, format, rating, agent, opponent, played_at, result) AS CASE
    WHEN regexp_full_match(name, '[^_]+_[^_]+_[^_]+_vs_[^_]+_[^_]+_(WIN|LOSS)') AND contains(split_part(lower(name), '_', 1), format)
        THEN name
    WHEN name IS NOT NULL AND contains(split_part(lower(name), '_', 1), format)
        THEN
            regexp_extract(name, '^([^_]+_[^_]+_)', 1)
            || replace(regexp_extract(without_team_set(name), '^[^_]+_[^_]+_(.+?)_vs_(.+)_[^_]+_(WIN|LOSS)$', 1), '_', '-')
            || '_vs_'
            || replace(regexp_extract(without_team_set(name), '^[^_]+_[^_]+_(.+?)_vs_(.+)_[^_]+_(WIN|LOSS)$', 2), '_', '-')
            || regexp_extract(without_team_set(name), '(_[^_]+_(WIN|LOSS))$', 1)
    ELSE
        printf(
            'metamon-%s-%010d_%s_%s_vs_%s_%s_%s',
            format,
            ('0x' || left(md5(trajectory_id), 15))::BIGINT % 10000000000,
            coalesce(rating::VARCHAR, 'Unrated'),
            left(regexp_replace(agent, '[^A-Za-z0-9.@+-]+', '-', 'g'), 60),
            left(regexp_replace(opponent, '[^A-Za-z0-9.@+-]+', '-', 'g'), 60),
            strftime(played_at, '%m-%d-%Y-%H:%M:%S'),
            CASE result WHEN 'WIN' THEN 'WIN' ELSE 'LOSS' END
        )
END
