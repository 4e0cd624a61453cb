-- For each label the brand with the highest share over all months, among brands of 20 items and more.
with brands as (
    select brand, sum(of_items)::bigint as of_items
    from (select distinct brand, month, of_items from {{ ref('label_share_by_brand_month') }})
    group by brand
    having sum(of_items) >= 20
)

select
    shares.label_group,
    shares.label,
    shares.brand,
    sum(shares.items)::bigint as items,
    any_value(brands.of_items) as of_items,
    sum(shares.items) / any_value(brands.of_items) as share
from {{ ref('label_share_by_brand_month') }} as shares
join brands on brands.brand = shares.brand
group by shares.label_group, shares.label, shares.brand
qualify row_number() over (
    partition by shares.label_group, shares.label
    order by sum(shares.items) / any_value(brands.of_items) desc, shares.brand) = 1
