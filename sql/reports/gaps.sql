-- title = "What others have and we have not"
-- question = "What do others have that we have not?"
-- read = """
-- Share of our items with each label against the share of theirs, in percentage points with
-- Newcombe's 95 % interval; `gap` and `lead` are told from chance at a false-discovery rate of 5 %
-- over all labels. `across` says what `ours` and `theirs` name: a brand or a source (a retailer).
-- `ours = auto` is the one with the most items, `theirs = auto` all others.
-- """
-- empty = "There are no two brands (or sources) to compare."
--
-- [plot]
-- kind = "bars"
-- names = ["label"]
-- value = "difference"
-- interval = ["low", "high"]
--
-- [show]
-- percent = ["share_ours", "share_theirs"]
-- points = ["difference", "low", "high"]
-- detail = ["group"]
--
-- [parameters]
-- across = { default = "brand", meaning = "brand or source" }
-- ours = { default = "auto", meaning = "name of ours" }
-- theirs = { default = "auto", meaning = "name of theirs" }
-- min_items = { default = 5, meaning = "leave out labels on fewer items of both together" }

with named as (
    select
        item_id,
        case when coalesce(getvariable('across'), 'brand') = 'source' then source else brand end as name
    from items
),

largest as (
    select name
    from named
    where name is not null
    group by name
    order by count(*) desc, name
    limit 1
),

ours as (
    select case when coalesce(getvariable('ours'), 'auto') = 'auto'
        then (select name from largest) else coalesce(getvariable('ours'), 'auto') end as name
),

sides as (
    select
        named.item_id,
        named.name = ours.name as us,
        named.name <> ours.name and (
            coalesce(getvariable('theirs'), 'auto') = 'auto'
            or named.name = coalesce(getvariable('theirs'), 'auto')) as them
    from named
    cross join ours
    where named.name is not null
),

totals as (
    select count(*) filter (us) as n1, count(*) filter (them) as n2 from sides
),

counted as (
    select "group", label, count(*) filter (us) as k1, count(*) filter (them) as k2
    from item_labels
    join sides on sides.item_id = item_labels.item_id
    group by "group", label
),

compared as (
    select *, p_of_z(difference_z(k1, n1, k2, n2)) as p
    from counted
    cross join totals
    where n1 > 0 and n2 > 0 and k1 + k2 >= coalesce(getvariable('min_items'), 5)
),

judged as (
    select *, p <= (select discovery_limit(list(p)) from compared) as found
    from compared
)

select
    label,
    "group",
    case when found and k2 / n2 > k1 / n1 then 'gap' when found then 'lead' end as verdict,
    ours.name as ours,
    k1 as items_ours,
    n1 as of_ours,
    k1 / n1 as share_ours,
    k2 as items_theirs,
    n2 as of_theirs,
    k2 / n2 as share_theirs,
    k2 / n2 - k1 / n1 as difference,
    difference_low(k1, n1, k2, n2) as low,
    difference_high(k1, n1, k2, n2) as high
from judged
cross join ours
order by difference desc, label, "group";
