-- title = "What changed between two periods"
-- question = "What changed from one period to another?"
-- read = """
-- Share of the items listed from `first_from` to `first_to` against those listed from `last_from`
-- to `last_to`, dates included; `auto` takes the last three months with listings and the three
-- before them. The change is in percentage points, with Newcombe's 95 % interval; `more` and `less`
-- are told from chance at a false-discovery rate of 5 % over all labels shown. `true_change` is the
-- change divided by sensitivity + specificity - 1, which the model's errors shrink it by.
-- """
-- empty = """
-- No item was listed in one of the periods: load a product feed with listed_at, or give dates.
-- """
--
-- [plot]
-- kind = "bars"
-- names = ["label"]
-- value = "change"
-- interval = ["low", "high"]
--
-- [show]
-- percent = ["share_first", "share_last"]
-- points = ["change", "low", "high", "true_change"]
-- detail = ["group", "items_first", "items_last"]
--
-- [parameters]
-- first_from = { default = "auto", meaning = "first day of the first period" }
-- first_to = { default = "auto", meaning = "its last day" }
-- last_from = { default = "auto", meaning = "first day of the last period" }
-- last_to = { default = "auto", meaning = "its last day" }
-- min_items = { default = 10, meaning = "leave out labels on fewer items in the two periods together" }

with ends as (
    select date_trunc('month', max(listed_at))::date as last_month
    from items
    where listed_at is not null
),

periods as (
    select
        coalesce(
            try_cast(coalesce(getvariable('first_from'), 'auto') as date),
            (last_month - interval 5 month)::date) as first_from,
        coalesce(
            try_cast(coalesce(getvariable('first_to'), 'auto') as date),
            (last_month - interval 2 month - interval 1 day)::date) as first_to,
        coalesce(
            try_cast(coalesce(getvariable('last_from'), 'auto') as date),
            (last_month - interval 2 month)::date) as last_from,
        coalesce(
            try_cast(coalesce(getvariable('last_to'), 'auto') as date),
            last_day(last_month)) as last_to
    from ends
),

totals as (
    select
        count(*) filter (listed_at between first_from and first_to) as n1,
        count(*) filter (listed_at between last_from and last_to) as n2
    from items
    cross join periods
),

counted as (
    select
        "group",
        label,
        count(*) filter (listed_at between first_from and first_to) as k1,
        count(*) filter (listed_at between last_from and last_to) as k2
    from item_labels
    cross join periods
    group by "group", label
),

compared as (
    select *, p_of_z(difference_z(k1, n1, k2, n2)) as p
    from counted
    cross join totals
    where n1 > 0 and n2 > 0 and k1 + k2 >= coalesce(getvariable('min_items'), 10)
),

judged as (
    select *, p <= (select discovery_limit(list(p)) from compared) as found
    from compared
)

select
    judged.label,
    judged."group",
    case when found and k2 / n2 > k1 / n1 then 'more' when found then 'less' end as verdict,
    k1 / n1 as share_first,
    k2 / n2 as share_last,
    k2 / n2 - k1 / n1 as change,
    difference_low(k1, n1, k2, n2) as low,
    difference_high(k1, n1, k2, n2) as high,
    case when can_correct(tp, fp, fn, tn)
        then (k2 / n2 - k1 / n1) / (sensitivity + specificity - 1) end as true_change,
    k1 as items_first,
    n1 as of_first,
    k2 as items_last,
    n2 as of_last,
    first_from,
    first_to,
    last_from,
    last_to
from judged
cross join periods
join labels on labels.label = judged.label and labels."group" = judged."group"
order by change desc, judged.label, judged."group";
