-- title = "What differs between two runs"
-- question = "What would change with the other run, or the other model?"
-- read = """
-- The same photos in two loaded runs: how many gain and lose each label, and the share before and
-- after. `moved` is told from chance by McNemar's test (1947) at a false-discovery rate of 5 % over
-- all labels: more gain it than lose it, or the reverse. `agreement` is Cohen's kappa (1960).
-- `auto` takes the two newest runs of the source tagged last.
-- """
-- empty = """
-- There are no two runs with the same photos: load the tags files of both with `fftag load`.
-- """
--
-- [plot]
-- kind = "bars"
-- names = ["label"]
-- value = "change"
--
-- [show]
-- percent = ["share_first", "share_last"]
-- points = ["change"]
-- ratio = ["agreement"]
-- detail = ["group"]
--
-- [parameters]
-- first = { default = "auto", meaning = "run_id of the one" }
-- last = { default = "auto", meaning = "run_id of the other" }

with placed as (
    select
        run_id,
        source,
        last_tagged_at,
        row_number() over (partition by source order by last_tagged_at desc, run_id) as place
    from runs
    semi join chosen_files on chosen_files.run_id = runs.run_id
),

newest as (
    select
        max(run_id) filter (place = 1) as last_run,
        max(run_id) filter (place = 2) as first_run
    from placed
    group by source
    having max(place) > 1
    order by max(last_tagged_at) desc, source
    limit 1
),

pair as (
    select
        case when coalesce(getvariable('first'), 'auto') = 'auto'
            then (select first_run from newest)
            else coalesce(getvariable('first'), 'auto') end as first_run,
        case when coalesce(getvariable('last'), 'auto') = 'auto'
            then (select last_run from newest)
            else coalesce(getvariable('last'), 'auto') end as last_run
),

both_runs as (
    select before.image, before.run_id as first_run, after.run_id as last_run
    from pair
    join chosen_files as before on before.run_id = pair.first_run and before.status = 'ok'
    join chosen_files as after
        on after.run_id = pair.last_run and after.status = 'ok' and after.image = before.image
),

total as (select count(*) as n from both_runs),

marked as (
    select
        tags."group",
        tags.label,
        tags.image,
        bool_or(tags.run_id = both_runs.first_run) as was,
        bool_or(tags.run_id = both_runs.last_run) as is_now
    from tags
    join both_runs on both_runs.image = tags.image
        and tags.run_id in (both_runs.first_run, both_runs.last_run)
    semi join chosen_labels
        on chosen_labels.label = tags.label and chosen_labels."group" = tags."group"
    group by tags."group", tags.label, tags.image
),

counted as (
    select
        "group",
        label,
        count(*) filter (was and is_now) as kept,
        count(*) filter (is_now and not was) as gained,
        count(*) filter (was and not is_now) as lost
    from marked
    group by "group", label
),

tested as (
    select
        counted.*,
        n,
        coalesce(p_of_z((gained - lost) / nullif(sqrt(gained + lost), 0)), 1) as p
    from counted
    cross join total
),

judged as (
    select
        *,
        p <= (select discovery_limit(list(p)) from tested) as found,
        (kept + lost) / n as p1,
        (kept + gained) / n as p2,
        1 - (gained + lost) / n as alike
    from tested
)

select
    label,
    "group",
    case when found then 'moved' end as verdict,
    p1 as share_first,
    p2 as share_last,
    p2 - p1 as change,
    gained,
    lost,
    n as of_photos,
    (alike - (p1 * p2 + (1 - p1) * (1 - p2)))
        / nullif(1 - (p1 * p2 + (1 - p1) * (1 - p2)), 0) as agreement
from judged
order by found desc, abs(p2 - p1) desc, label, "group";
