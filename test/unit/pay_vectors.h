/* Messages of payment providers with signatures by throw-away keys, computed with OpenSSL. The RSA key signs for all
 * of them. */
#ifndef TEST_UNIT_PAY_VECTORS_H
#define TEST_UNIT_PAY_VECTORS_H

static const char rsa_private[] =
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDPIMQqd4duhMIIQhIJsG2X19BUWPOzBEnXpPtgk3nu3KsfC7Fg"
    "Mg90fNiRFXNUkUNAoMMY5zJDKP7NvK7uQzJpQ7IOdf1rgMuseSiTDNKrls9pxviGw+95pZr8I6AsymAGeChrs/CmGy/aHS57JiQG"
    "uVbW44Z5ehiz4Tj2Sqou713o1brIYc9AHdEi6bMwrFDIxBhCJ/8AC0KtGEQuWBftdlkEMhNKrMred49ZLZF+VINzC9DQ4FMKp9hl"
    "hvWb2SmUsO634CYBDA8D/MWVKr1Y/9pBnJw8O7cGfD2pC9yBGTTK3okcEd9e+SmkypqLg7NTsEPxhzIy6kPx9hLqoAs7AgMBAAEC"
    "ggEAZkd91qKTg+WWktFdat9uHq75Ns19+YZCmHPllbj9WxAoh/oUKrZNn24O2wXGn5njpcQ80s1HqpZRzHJBx3HzMLu27yEgdLdy"
    "28YwXPzWAtlDrq4MBzA1ztISCDPnYnbEmC05eIWwbbW7GW+Thkg9PfzDfvV3cAD0tc6ffC8+flHdhv0lqwRW5iTRJ5Cx77DfO/44"
    "ZI5xAq6h+tlqlTNgmGj6HO4r0KS9acM88GXcBLnEC3Ub0LAN0X72+ix66/WLskxtWmcLBGIr1D7VmxGtO01/e1gZFwpnQZJK4xFd"
    "side4HuFpcK8xlEELF7sfoRWUgj2HC9X0iYHqnoaJlj6kQKBgQDsAeXRwlsqPRUGJdeE4OpbSXkH2x0PBvPvO6lzSI4h94YPH+Md"
    "aJqBKeZeYeCGcd0UBz8kSiCWYAOCRfUfhA5qSgd3dzUKyj/rmB22Brf3sG9vaN3pRbhUY3Ng9nAAnJSPwgRmFjwbT9+2MWbHVMte"
    "yPrpPCiLOs5wROHCyRh+VwKBgQDgrJV42earw3vJImz3RGRKi1JOmslk8d0de09aPCwJdDGcCQroih4zYL4BtiTGfdd6hIzfnTM1"
    "7CaONzXoULZbTdNAfU6nH7iQ6lbf43HN/Qbc+Q4Fsqkt6+DQwgQ5ZhFthQ9PbBldZ2HkPmF+FdJRS6rVCxuylfjZGUPt6RZDvQKB"
    "gAGyNcufIPaZv8fuh7D9yNFlIsiKq5fLDf+/JwWcFOFrnPwI16IDeXDKM0ykWW+967/UGYESQ0+xWvUZuZxDX7Ml2w3hvnDYaUMx"
    "Ma14OOQ/0V00nLurc5qvqEmfG8j1Vx/9Xfi52i68ETiG/F0cX+XLffolI4l0n70w0YqL1XA7AoGAWAMjlrD9jOHKNxOWThLrmswT"
    "FRnLtRCORwNMJZQWyClNWcutC0U36XaHWFJK+7rGU4djTCHfssrsm5+DLZuYpBHLpKKx0gQ6IAK8v33w0fnB24Rw+shvP778Var7"
    "TqTuRNHwGnPFR/K8xVWuiV7xAcm7hTORyRa44grksmkxwJ0CgYEAj9ARaaI9gMV9N8utGolN9VeQMctkpjgcHpFgjEu3hkOLHDVt"
    "/Mgm2oqJu2pxwfIBXUHAjw1Php1yt/quo7cxh1w7wlBKKsKbGbjlGFiUEGTk7MiVy86eDuYSxFGP9llys4LyOPjWH2nen+YHpD5/"
    "ns+XZm444L3VxwCk8cbvCBs=";

static const char rsa_public[] =
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAzyDEKneHboTCCEISCbBtl9fQVFjzswRJ16T7YJN57tyrHwuxYDIPdHzY"
    "kRVzVJFDQKDDGOcyQyj+zbyu7kMyaUOyDnX9a4DLrHkokwzSq5bPacb4hsPveaWa/COgLMpgBngoa7Pwphsv2h0ueyYkBrlW1uOG"
    "eXoYs+E49kqqLu9d6NW6yGHPQB3RIumzMKxQyMQYQif/AAtCrRhELlgX7XZZBDITSqzK3nePWS2RflSDcwvQ0OBTCqfYZYb1m9kp"
    "lLDut+AmAQwPA/zFlSq9WP/aQZycPDu3Bnw9qQvcgRk0yt6JHBHfXvkppMqai4OzU7BD8YcyMupD8fYS6qALOwIDAQAB";

static const char stripe_body[] =
    "{\"id\":\"evt_test_1\",\"type\":\"checkout.session.completed\",\"data\":{\"object\":{\"id\":\"cs_tes"
    "t_1\",\"client_reference_id\":\"ord_01\",\"payment_status\":\"paid\",\"amount_total\":1000,\"currenc"
    "y\":\"usd\"}}}";

static const char stripe_v1[] =
    "f29cddbba0c1208ddbbb4b0d1987fb8b52d0c8a7c72824c3f607faa7111f73a1";

static const char ipn_sorted_body[] =
    "{\"actually_paid\":10.5,\"order_id\":\"ord_01\",\"outcome_amount\":10.45,\"pay_amount\":10.5,\"pay_c"
    "urrency\":\"usdttrc20\",\"payment_id\":4945313240,\"payment_status\":\"finished\",\"price_amount\":1"
    "0.5,\"price_currency\":\"usd\"}";

static const char ipn_mac[] =
    "8ade506fa7d1032b1d5d3ed0cd01385442664ff70a4b9c936727212a46c3ab4ae3d370f7ecf61fa2e0ce4b3b852df6bb6e5e"
    "035c563c8eada186937e665eef5c";

static const char raw_body[] =
    "{\"event\":{\"type\":\"charge:confirmed\",\"data\":{\"metadata\":{\"order_id\":\"ord_01\"}}}}";

static const char raw_mac[] =
    "18af3acb1c3d94630115f3ad09798172db97fc7c27500f27185646c9cc74ce9c";

static const char hook_signed[] =
    "1700000000.content-type x-event-id.application/json.ev_1.{\"id\":\"cl_1\",\"status\":\"COMPLETED\","
    "\"metadata\":{\"order_id\":\"ord_01\"}}";

static const char hook_mac[] =
    "38f44529a9bb7d02424c951ab6ff16625d23ce7cfc1b6b5e41581bcf7fb77846";

static const char gcm_plain[] =
    "{\"mchid\":\"1900000001\",\"appid\":\"wx0000000000000001\",\"out_trade_no\":\"ord_01\",\"transaction"
    "_id\":\"4200000000000000000000000001\",\"trade_type\":\"NATIVE\",\"trade_state\":\"SUCCESS\",\"amoun"
    "t\":{\"total\":1000,\"payer_total\":1000,\"currency\":\"CNY\",\"payer_currency\":\"CNY\"}}";

static const char gcm_sealed[] =
    "4ouKWSuj/DnPJxKEgzRMF3K25P415EgKVP+mfevCu95ST1dJwsIV9VDeT1H7uVvuj06wis1kDXsHrZMsaSZ69kKcLAOb/sbew65z"
    "+CVrbA3uySS5N7c7ln51xr3tSib5Ty16C0IaIdIJQ24F7qZEzpWBPWTWA9JYtZDuZ9KDg3+U6umF8DwlLwkpLBREfZ63OOOPZcZm"
    "3sc3Qr3lPN/TJofhgltS/rG3vmrsajkGMZLhl3Juomy0/mQKOzRSGXBbxq+2cl/nPxJ6CFUo65tIyw3B/ObFMci+BJDKbrqpZCUW"
    "RPb8aJwFqu2TPEQZKU1TfvYcNtfJCgQOZ7/Ujujbizl4PMokTTLjAzSOTQ==";

static const char alipay_request[] =
    "app_id=2021000000000001&biz_content={\"out_trade_no\":\"ord_01\",\"product_code\":\"FAST_INSTANT_TRA"
    "DE_PAY\",\"subject\":\"Credits\",\"total_amount\":\"10.00\"}&charset=utf-8&format=JSON&method=alipay"
    ".trade.page.pay&notify_url=https://gw.example/pay/alipay/notify&return_url=https://gw.example/billin"
    "g&sign_type=RSA2&timestamp=2026-01-02 03:04:05&version=1.0";

static const char alipay_request_sign[] =
    "w2tz8a0y8Khr+Hc961EYtaIInkzTn3ubJzSindbqXwP2EvjXGfYHiUVD/vlYJJLwiq8WlDX2+Zkt7HLfuk35ztv6OgJ6tD9Rv9Uv"
    "Nank7rMNYkqtRNyrIiYdI+yTvB0D9Fz1BC7Uk5Sx+efVBxDcsF9JEQ60dJq65yI8mIw6lrSkXoXkOo/xMu9gbp3Ygz8wAsI8BsJx"
    "D82yq9ifAFl3H0LOBPxrghx4AO0tHPqN6PFpvvnI4qZaCD8dqX5mxxDAr1UC9Iq9mxM4bRuCVyZ+qD7N+kdJX7qgBV7D/qq59KzA"
    "cbzfzigxtSpJno02To9Cp8w/cztTW9PWtgRgacQcdA==";

static const char alipay_notice[] =
    "app_id=2021000000000001&auth_app_id=2021000000000001&charset=utf-8&gmt_payment=2026-01-02 03:05:00&n"
    "otify_id=n1&notify_time=2026-01-02 03:05:01&notify_type=trade_status_sync&out_trade_no=ord_01&seller"
    "_id=2088000000000001&subject=\345\205\205\345\200\274 A+B&total_amount=10.00&trade_no=20260102220014"
    "00000000000001&trade_status=TRADE_SUCCESS&version=1.0";

static const char alipay_notice_sign[] =
    "irGb+2AxiVFIr7DcU84M2iFRc2SiIpmRc/Ofnybm6X9LftWmiaHISPwAaXyg7zrSPWUxGhMx0WFn58VezY4QUMWCh7fBtqgT0tzY"
    "WCLoUZp8L8KTZylksy+diLJO3gtSpsMyKT7gwQQzzyvmPpvRobunTTOtTJamwvaun2W82ONPil5OsJsJOWe1U0X2So4yeDBczi2S"
    "ZJUOu3/do7/fpwqbVU6cS4uyMy0Nnz5NRNyi703OuFENJ4juLS1RpqtiQFY+nX2Ammdork1VBhV1cfQRjSGWlWdpI/HCrxW3dS6Y"
    "KKST+3J4UdDUbAn02VZgymp24zNKpqZ40YAEQGa3CA==";

static const char wechat_create[] =
    "POST\n/v3/pay/transactions/native\n1700000000\n593BEC0C930BF1AFEB40B4A08C8FB242\n{\"mchid\":\"190000"
    "0001\",\"out_trade_no\":\"ord_01\",\"appid\":\"wx0000000000000001\",\"description\":\"Credits\",\"no"
    "tify_url\":\"https://gw.example/pay/wechat/notify\",\"amount\":{\"total\":1000,\"currency\":\"CNY\"}"
    "}\n";

static const char wechat_create_sign[] =
    "BO0j0RgGBZmjeQ9lG7X9iPGqbf97VxRYMKRn63ttZamcxFIeUYs6MxutqpraZ2YtlsoQnjdV7DHFxLTVcuJOAD9VGCLEwxWsT48a"
    "IClOfcOEvI/LMED3Dy0vCR3mM+md1oso7qIahMzONwde0aK5HY0oaxBWQIXOPgJ5Pdiwtr+uEOXEGKOxvm9M68LFgtxfGfmbMM8k"
    "kCHAK+XkMmhFMTYQxL6GRpFHml2S6rMMN3jSMLhI0w38CGs7qU+SUN3yd2m/6mNM9FSddsFd4hJgngkVU8kxPpdNriR425FI4muz"
    "BwMVgYIxbVeqnrvegb3f58RvQmI7isx1q6OEjLd8jw==";

static const char wechat_query[] =
    "GET\n/v3/pay/transactions/out-trade-no/ord_01?mchid=1900000001\n1700000000\n593BEC0C930BF1AFEB40B4A0"
    "8C8FB242\n\n";

static const char wechat_query_sign[] =
    "AaNKP6Bn7U4Ap4ErrVnKS8xmFKMArQ7eulCdMD3uJo/C5GfsxLbokqQjANrDTr5svF00i/kfQzJHtu3QlmKIlBwqG3eFzd25Wc+A"
    "RCFcFZ4bEravy4qKQ4Bz/gLw6DgB+Ftxxxo5O1vevW+fIbOP0Ede7prujaN11OPIC47j9jT4XHIW7ZHMtDIK/7YuROfKYgY8U9z/"
    "lu69MdJw5P+RgOy9XN4RjsN6R8E0tArExr7uI/RYfALAoWqo8v6c2MlIb3EkKONkYFufqI1Kx0xzlalYR1xxqFD+/rjlWuujgH4o"
    "Y5Y1kJpBqX8SV6dAOR581RN8f4X8abhgaKkRDpzhXQ==";

static const char wechat_notice[] =
    "{\"id\":\"EV-1\",\"create_time\":\"2023-11-15T06:13:20+08:00\",\"resource_type\":\"encrypt-resource"
    "\",\"event_type\":\"TRANSACTION.SUCCESS\",\"summary\":\"ok\",\"resource\":{\"original_type\":\"trans"
    "action\",\"algorithm\":\"AEAD_AES_256_GCM\",\"ciphertext\":\"4ouKWSuj/DnPJxKEgzRMF3K25P415EgKVP+mfev"
    "Cu95ST1dJwsIV9VDeT1H7uVvuj06wis1kDXsHrZMsaSZ69kKcLAOb/sbew65z+CVrbA3uySS5N7c7ln51xr3tSib5Ty16C0IaIdI"
    "JQ24F7qZEzpWBPWTWA9JYtZDuZ9KDg3+U6umF8DwlLwkpLBREfZ63OOOPZcZm3sc3Qr3lPN/TJofhgltS/rG3vmrsajkGMZLhl3J"
    "uomy0/mQKOzRSGXBbxq+2cl/nPxJ6CFUo65tIyw3B/ObFMci+BJDKbrqpZCUWRPb8aJwFqu2TPEQZKU1TfvYcNtfJCgQOZ7/Ujuj"
    "bizl4PMokTTLjAzSOTQ==\",\"associated_data\":\"transaction\",\"nonce\":\"0123456789ab\"}}";

static const char wechat_notice_sign[] =
    "DZRPaOcfTNegOYIbP4SCycYQzKWZjrUbnI+6/EUJfArfiMUyaYjHXoyMkr+lKMCU7h1phSI+Hym2AGcbnNe+HiMsOHQnjnJyc255"
    "TDV4ViNq58TrsNoLpd67q96SsvTp7mPbuqfhW6JmeTYUvWJmh0DhvKPFxTuLVAGLPug5o55IBG5P3IDTCj9ecCfcWiR1kIJNvM+5"
    "ISHu9Me8ifIl3WhjfPP2U6lAd51zm9zXWMzwcsEknlnsa0n/iLqTq8rxqwiBxHxWyCEGeIwU2Bdb3qlEPS+M8UZ4M0xSvZ3wykk/"
    "JOibCsHbQbStDx2nUz27Ui+6+3dQIsT95P5zb5f26w==";

#endif
