import jsonata from 'jsonata'
export const input = {
  orders: [
    { sku: 'a', price: 2, n: 3 },
    { sku: 'b', price: 5, n: 1 },
  ],
}
export const use = async value => ({
  total: await jsonata('$sum(orders.(price * n))').evaluate(value),
  by: await jsonata('orders{sku: price}').evaluate(value),
  sorted: await jsonata('orders^(>price).sku').evaluate(value),
  text: await jsonata('$join($map(orders.sku, function($s) { $uppercase($s) }), "-")').evaluate(value),
})
