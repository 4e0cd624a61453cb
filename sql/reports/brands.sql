-- title = "What each brand is strong in"
-- question = "What is each brand strong in?"
-- read = """
-- Share of a brand's items with the label (`share`), against all other brands (`others`). For
-- `strength`, their odds ratio, the catalogue's own share counts as `prior` more items of each
-- side, so that a small brand is not strong by chance (Monroe, Colaresi and Quinn 2008); with its
-- 95 % interval. `strong` and `weak` are told from chance at a false-discovery rate of 5 % over all
-- rows.
-- """
-- empty = "There are no two brands to compare: load a product feed with brand."
--
-- [plot]
-- kind = "bars"
-- names = ["brand", "label"]
-- value = "strength"
-- interval = ["low", "high"]
--
-- [show]
-- percent = ["share", "others"]
-- ratio = ["strength", "low", "high"]
-- detail = ["group"]
--
-- [parameters]
-- prior = { default = 20, meaning = "how many items the catalogue's share counts as" }
-- min_items = { default = 5, meaning = "leave out labels on fewer of a brand's items, and brands of fewer items" }

with branded as (select item_id, brand from items where brand is not null),

brand_totals as (
    select brand, count(*) as n
    from branded
    group by brand
    having count(*) >= coalesce(getvariable('min_items'), 5)
),

total as (select count(*) as n from branded),

counted as materialized (
    select brand, "group", label, count(*) as k
    from item_labels
    join branded on branded.item_id = item_labels.item_id
    group by brand, "group", label
),

label_totals_here as (
    select "group", label, sum(k)::bigint as k from counted group by "group", label
),

grid as (
    select
        brand_totals.brand,
        labels."group",
        labels.label,
        coalesce(counted.k, 0) as k1,
        brand_totals.n as n1,
        labels.k - coalesce(counted.k, 0) as k0,
        total.n - brand_totals.n as n0,
        coalesce(getvariable('prior'), 20) * (labels.k + 1) / (total.n + 2) as a,
        coalesce(getvariable('prior'), 20) * (1 - (labels.k + 1) / (total.n + 2)) as b
    from brand_totals
    cross join label_totals_here as labels
    cross join total
    left join counted
        on counted.brand = brand_totals.brand
        and counted.label = labels.label
        and counted."group" = labels."group"
    where total.n > brand_totals.n
),

measured as (
    select
        *,
        ln((k1 + a) / (n1 - k1 + b)) - ln((k0 + a) / (n0 - k0 + b)) as odds,
        sqrt(1 / (k1 + a) + 1 / (n1 - k1 + b) + 1 / (k0 + a) + 1 / (n0 - k0 + b)) as error
    from grid
),

tested as (select *, p_of_z(odds / error) as p from measured),

judged as (
    select *, p <= (select discovery_limit(list(p)) from tested) as found
    from tested
)

select
    brand,
    label,
    "group",
    case when found and odds > 0 then 'strong' when found then 'weak' end as verdict,
    k1 as items,
    n1 as of_items,
    k1 / n1 as share,
    k0 / n0 as others,
    exp(odds) as strength,
    exp(odds - 1.959963984540054 * error) as low,
    exp(odds + 1.959963984540054 * error) as high
from judged
where k1 >= coalesce(getvariable('min_items'), 5) or found
order by odds / error desc, brand, label, "group";
