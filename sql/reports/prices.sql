-- title = "What each label costs"
-- question = "What is dear and what is cheap, against the catalogue?"
-- read = """
-- Median price of the items with a label, with the 95 % interval that order statistics give it,
-- beside the median of all items in that currency; `ratio` is the one over the other. `cheap`,
-- `middle` and `dear` say how many of the label's items lie in each third of the catalogue's
-- prices. Currencies are kept apart.
-- """
-- empty = "No item has a price: load a product feed with price and currency."
--
-- [plot]
-- kind = "bars"
-- names = ["label", "currency"]
-- value = "median"
-- interval = ["low", "high"]
--
-- [show]
-- percent = ["cheap", "middle", "dear"]
-- ratio = ["ratio"]
-- detail = ["group"]
--
-- [parameters]
-- min_items = { default = 10, meaning = "leave out labels on fewer items" }

with priced as (
    select item_id, price, coalesce(currency, 'no currency') as currency
    from items
    where price is not null
),

catalogue as (
    select
        currency,
        median(price) as median,
        quantile_cont(price, 1 / 3) as third,
        quantile_cont(price, 2 / 3) as two_thirds
    from priced
    group by currency
),

-- Few prices are told apart, so a label's are counted, not sorted.
prices as (
    select "group", label, currency, price, count(*) as items
    from item_labels
    join priced on priced.item_id = item_labels.item_id
    group by all
),

placed as (
    select
        *,
        sum(items) over (partition by "group", label, currency)::bigint as n,
        sum(items) over (partition by "group", label, currency order by price)::bigint as up_to
    from prices
),

counted as (
    select
        "group",
        label,
        placed.currency,
        any_value(n) as n,
        (min(price) filter (up_to >= (n + 1) // 2) + min(price) filter (up_to >= n // 2 + 1)) / 2
            as median,
        min(price) filter (up_to >= greatest(1, floor(n / 2 - 0.979981992270027 * sqrt(n))))
            as low,
        min(price) filter (up_to >= least(n, ceil(n / 2 + 1 + 0.979981992270027 * sqrt(n))))
            as high,
        coalesce(sum(items) filter (price <= third), 0) / any_value(n) as cheap,
        coalesce(sum(items) filter (price > third and price <= two_thirds), 0) / any_value(n)
            as middle,
        coalesce(sum(items) filter (price > two_thirds), 0) / any_value(n) as dear
    from placed
    join catalogue on catalogue.currency = placed.currency
    where n >= coalesce(getvariable('min_items'), 10)
    group by "group", label, placed.currency
)

-- The ranks n / 2 -+ 1.96 sqrt(n) / 2 bound the median (Conover 1999, 3.2).
select
    label,
    "group",
    counted.currency,
    n as items,
    counted.median,
    counted.low,
    counted.high,
    catalogue.median as catalogue_median,
    counted.median / nullif(catalogue.median, 0) as ratio,
    cheap,
    middle,
    dear
from counted
join catalogue on catalogue.currency = counted.currency
order by counted.currency, ratio desc, label, "group";
