-- title = "The same photo under several products"
-- question = "Which photos stand under several products?"
-- read = """
-- Files of the same content, byte for byte, that belong to more than one product: one product
-- listed twice, or a photo that stands for another. Copies under one product are not listed.
-- """
-- empty = "No photo stands under several products."
-- by_label = false
--
-- [show]
-- detail = ["sha256"]

select
    count(distinct items.item_id) as products,
    count(*) as files,
    string_agg(distinct item, ', ' order by item) as items,
    min(shared_photos.image) as example,
    content_sha256[:12] as content,
    content_sha256 as sha256
from shared_photos
join items on items.item_id = shared_photos.item_id
group by content_sha256
having count(distinct items.item_id) > 1
order by products desc, files desc, example;
