-- title: What each label costs
-- question: What is dear and what is cheap, against the catalogue?
-- read: Median price of the items with a label, with the 95 % interval that order statistics give
--   it, beside the median of all items in that currency; `ratio` is the one over the other. `cheap`,
--   `middle` and `dear` say how many of the label's items lie in each third of the catalogue's prices.
--   Currencies are kept apart.
-- parameter: min_items = 10: leave out labels on fewer items
-- show: cheap middle dear as percent
-- show: ratio as ratio
-- plot: bars label+currency median low high
-- empty: No item has a price: load a product feed with price and currency.

with priced as (
    select item, price, coalesce(currency, 'no currency') as currency
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

counted as (
    select
        label,
        priced.currency,
        count(*) as n,
        median(price) as median,
        list_sort(list(price)) as prices,
        count(*) filter (price <= third) / count(*) as cheap,
        count(*) filter (price > third and price <= two_thirds) / count(*) as middle,
        count(*) filter (price > two_thirds) / count(*) as dear
    from item_labels
    join priced on priced.item = item_labels.item
    join catalogue on catalogue.currency = priced.currency
    group by label, priced.currency
    having count(*) >= coalesce(getvariable('min_items'), 10)
)

-- The ranks n / 2 -+ 1.96 sqrt(n) / 2 bound the median (Conover 1999, 3.2).
select
    label,
    counted.currency,
    n as items,
    counted.median,
    prices[greatest(1, floor(n / 2 - 0.979981992270027 * sqrt(n))::integer)] as low,
    prices[least(n, ceil(n / 2 + 1 + 0.979981992270027 * sqrt(n))::integer)] as high,
    catalogue.median as catalogue_median,
    counted.median / nullif(catalogue.median, 0) as ratio,
    cheap,
    middle,
    dear
from counted
join catalogue on catalogue.currency = counted.currency
order by counted.currency, ratio desc, label;
